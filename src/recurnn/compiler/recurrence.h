// The part of every kernel that is the same for every cell: the matrix micro-kernel, the loop over
// time, and the threads, on the vectors of vectors.h. What differs from cell to cell, the body of
// each phase, is generated and follows this text in one translation unit.
//
// Words: a *panel* is U vectors of units for each of A products that share their operands; a
// *tile* is M rows of the batch times one panel, and stays in registers while K runs.

#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if VECTOR_BYTES == 32
#define ACCUMULATORS 12
#else
#define ACCUMULATORS 24
#endif

// ---------------------------------------------------------------- products

// One matrix of a product: `at(unit, k)` is its element, whichever way round it is stored.
struct Matrix {
    const T* data;
    int64_t unit_stride, k_stride;
};

// Lay A matrices out as the micro-kernel reads them: panel, k, product, lane.
INLINE int64_t panel_size(int K, int A, int U) { return (int64_t)K * A * U * LANES; }
// One vector's column of a panel, K long; blocks of k keep both sides in the first cache.
static void pack_column(T* to, int64_t to_stride, const Matrix& m, int unit, int units, int K) {
    int left = units - unit < LANES ? units - unit : LANES;
    const T* from = m.data + unit * m.unit_stride;
    if (m.unit_stride == 1) {
        for (int k = 0; k < K; k++) store(to + k * to_stride, load(from + k * m.k_stride, left));
        return;
    }
    for (int k0 = 0; k0 < K; k0 += LANES) {
        int k1 = k0 + LANES < K ? k0 + LANES : K;
        T block[LANES][LANES] = {};
        for (int u = 0; u < left; u++)
            for (int k = k0; k < k1; k++) block[k - k0][u] = from[u * m.unit_stride + k * m.k_stride];
        for (int k = k0; k < k1; k++) store(to + k * to_stride, load(block[k - k0]));
    }
}
static void pack(T* to, const Matrix* m, int A, int U, int units, int K, int64_t panel_stride,
                 int first_panel, int last_panel) {
    int64_t stride = (int64_t)A * U * LANES;
    for (int p = first_panel; p < last_panel; p++)
        for (int a = 0; a < A; a++)
            for (int n = 0; n < U; n++) {
                int unit = (p * U + n) * LANES;
                T* column = to + p * panel_stride + (a * U + n) * LANES;
                if (unit < units) pack_column(column, stride, m[a], unit, units, K);
                else for (int k = 0; k < K; k++) store(column + k * stride, V{});
            }
}

// acc[m][a·N + n] += Σ_k rows[m][k] · panel[k][a][n]. U is the panel's width, N ≤ U what is used.
template <int M, int A, int U, int N>
INLINE void products(V (&acc)[M][A * N], int K, const T* const (&rows)[M], const T* panel) {
    for (int k = 0; k < K; k++, panel += A * U * LANES) {
        V w[A * N];
#pragma GCC unroll 32
        for (int a = 0; a < A; a++)
#pragma GCC unroll 32
            for (int n = 0; n < N; n++) w[a * N + n] = load(panel + (a * U + n) * LANES);
#pragma GCC unroll 32
        for (int m = 0; m < M; m++) {
            V x = broadcast(rows[m][k]);
#pragma GCC unroll 32
            for (int j = 0; j < A * N; j++) acc[m][j] += x * w[j];
        }
    }
}

constexpr int width(int A) { return A == 1 ? 4 : A == 2 ? 2 : 1; }
constexpr int rows_of(int A) {
    return ACCUMULATORS / (A * width(A)) < 1 ? 1 : ACCUMULATORS / (A * width(A)) > 12 ? 12
         : ACCUMULATORS / (A * width(A));
}

// ---------------------------------------------------------------- threads

// One team shares the rows it was given; its members split the units and meet after each phase.
struct Team {
    int members;
    volatile int arrived, round;
    void meet() {
        if (members == 1) return;
        int mine = __atomic_load_n(&round, __ATOMIC_ACQUIRE);
        if (__atomic_add_fetch(&arrived, 1, __ATOMIC_ACQ_REL) == members) {
            __atomic_store_n(&arrived, 0, __ATOMIC_RELAXED);
            __atomic_store_n(&round, mine + 1, __ATOMIC_RELEASE);
            return;
        }
        for (int spins = 0; __atomic_load_n(&round, __ATOMIC_ACQUIRE) == mine; spins++)
            if (spins > 2000) sched_yield();  // a busy neighbour has the core: do not hold it up
    }
};

struct Task {
    void (*run)(void*, int);
    void* with;
    int index;
};
static void* start_task(void* task) {
    ((Task*)task)->run(((Task*)task)->with, ((Task*)task)->index);
    return 0;
}
// run(with, 0 … n−1), each on a thread of its own. Threads live for one call: nothing spins
// between calls, and nothing is left behind that a fork could break.
static void parallel(int n, void (*run)(void*, int), void* with) {
    pthread_t thread[64];
    Task task[64];
    int started = 1;
    for (; started < n; started++) {
        task[started] = {run, with, started};
        if (pthread_create(&thread[started], 0, start_task, &task[started])) break;
    }
    run(with, 0);
    for (int k = started; k < n; k++) run(with, k);  // no thread to be had: do its part here
    for (int k = 1; k < started; k++) pthread_join(thread[k], 0);
}

// ---------------------------------------------------------------- plain products over all steps

// out[r][n] = Σ over terms Σ_k in[r][k] · matrix(n, k): the hoisted products and dL/dx.
struct Term {
    const T* in;
    int64_t in_stride;
    int K;
    Matrix matrix;
};
struct RowProduct {
    T* out;
    int64_t out_stride, rows;
    int units, terms, threads;
    const Term* term;
    T* packed;
};

constexpr int PRODUCT_U = 4, PRODUCT_M = ACCUMULATORS / PRODUCT_U;

template <int M, int N>
INLINE void row_tile(const RowProduct& p, int64_t r, int panel) {
    V acc[M][N] = {};
    const T* w = p.packed;
    const T* rows[M];
    int panels = (p.units + PRODUCT_U * LANES - 1) / (PRODUCT_U * LANES);
    for (int j = 0; j < p.terms; j++) {
        const Term& t = p.term[j];
        for (int m = 0; m < M; m++) rows[m] = t.in + (r + m) * t.in_stride;
        int64_t size = panel_size(t.K, 1, PRODUCT_U);
        products<M, 1, PRODUCT_U, N>(acc, t.K, rows, w + panel * size);
        w += panels * size;
    }
    for (int m = 0; m < M; m++)
        for (int n = 0; n < N; n++) {
            int u = (panel * PRODUCT_U + n) * LANES;
            if (u < p.units) store(p.out + (r + m) * p.out_stride + u, acc[m][n], p.units - u);
        }
}
template <int N>
static void row_panel(const RowProduct& p, int64_t from, int64_t to, int panel) {
    int64_t r = from;
    for (; r + PRODUCT_M <= to; r += PRODUCT_M) row_tile<PRODUCT_M, N>(p, r, panel);
    for (; r + 2 <= to; r += 2) row_tile<2, N>(p, r, panel);
    for (; r < to; r++) row_tile<1, N>(p, r, panel);
}
static void row_product_part(void* with, int index) {
    const RowProduct& p = *(const RowProduct*)with;
    int panels = (p.units + PRODUCT_U * LANES - 1) / (PRODUCT_U * LANES);
    int64_t from = p.rows * index / p.threads, to = p.rows * (index + 1) / p.threads;
    const int64_t block = 192;  // rows that stay near while every panel passes over them
    for (int64_t r = from; r < to; r += block)
        for (int panel = 0; panel < panels; panel++) {
            int left = (p.units - panel * PRODUCT_U * LANES + LANES - 1) / LANES;
            int64_t end = r + block < to ? r + block : to;
            if (left >= 4) row_panel<4>(p, r, end, panel);
            else if (left == 3) row_panel<3>(p, r, end, panel);
            else if (left == 2) row_panel<2>(p, r, end, panel);
            else row_panel<1>(p, r, end, panel);
        }
}

// out[m][n] (+)= Σ_r left[r][m] · right[r][n]: the gradient of a weight matrix. Every element is
// summed by one thread in the order of r, so the number of threads does not change a bit.
struct OuterProduct {
    T* out;
    int64_t out_stride;
    const T *left, *right;
    int64_t left_stride, right_stride, rows;
    int M, N, add, threads;
};
template <int M, int N>
INLINE void outer_tile(const OuterProduct& p, int m0, int64_t r0, int64_t r1, const T* right,
                       int64_t right_stride, int n0, bool add) {
    V acc[M][N] = {};
    const T* left = p.left + r0 * p.left_stride + m0;
    for (int64_t r = r0; r < r1; r++, left += p.left_stride, right += right_stride) {
        V b[N];
#pragma GCC unroll 8
        for (int n = 0; n < N; n++) b[n] = load(right + n * LANES);
#pragma GCC unroll 16
        for (int m = 0; m < M; m++) {
            V a = broadcast(left[m]);
#pragma GCC unroll 8
            for (int n = 0; n < N; n++) acc[m][n] += a * b[n];
        }
    }
    for (int m = 0; m < M; m++)
        for (int n = 0; n < N; n++) {
            int at = n0 + n * LANES;
            if (at >= p.N) continue;
            T* to = p.out + (m0 + m) * p.out_stride + at;
            store(to, add ? acc[m][n] + load(to, p.N - at) : acc[m][n], p.N - at);
        }
}
template <int N>
static void outer_column(const OuterProduct& p, int n0, int m_from, int m_to, T* copy) {
    const int64_t depth = 256;  // rows whose copy of `right` stays in the first cache
    for (int64_t r0 = 0; r0 < p.rows; r0 += depth) {
        int64_t r1 = r0 + depth < p.rows ? r0 + depth : p.rows;
        for (int64_t r = r0; r < r1; r++)
            for (int n = 0; n < N; n++) {
                int at = n0 + n * LANES;
                V v = {};
                if (at < p.N) v = load(p.right + r * p.right_stride + at, p.N - at);
                store(copy + ((r - r0) * N + n) * LANES, v);
            }
        bool add = p.add || r0 > 0;
        int m = m_from;
        for (; m + PRODUCT_M <= m_to; m += PRODUCT_M)
            outer_tile<PRODUCT_M, N>(p, m, r0, r1, copy, N * LANES, n0, add);
        for (; m + 2 <= m_to; m += 2) outer_tile<2, N>(p, m, r0, r1, copy, N * LANES, n0, add);
        for (; m < m_to; m++) outer_tile<1, N>(p, m, r0, r1, copy, N * LANES, n0, add);
    }
    if (p.rows == 0 && !p.add)
        for (int m = m_from; m < m_to; m++)
            for (int at = n0; at < p.N && at < n0 + N * LANES; at++) p.out[m * p.out_stride + at] = 0;
}
static void outer_product_part(void* with, int index) {
    const OuterProduct& p = *(const OuterProduct*)with;
    T* copy = (T*)aligned_alloc(64, 256 * PRODUCT_U * LANES * sizeof(T));
    // Split whole tiles of M, so that a row's tile is the same for any number of threads.
    int tiles = (p.M + PRODUCT_M - 1) / PRODUCT_M;
    int from = tiles * index / p.threads * PRODUCT_M, to = tiles * (index + 1) / p.threads * PRODUCT_M;
    if (to > p.M) to = p.M;
    for (int n0 = 0; n0 < p.N && from < to; n0 += PRODUCT_U * LANES) {
        int left = (p.N - n0 + LANES - 1) / LANES;
        if (left >= 4) outer_column<4>(p, n0, from, to, copy);
        else if (left == 3) outer_column<3>(p, n0, from, to, copy);
        else if (left == 2) outer_column<2>(p, n0, from, to, copy);
        else outer_column<1>(p, n0, from, to, copy);
    }
    free(copy);
}

extern "C" void row_product(T* out, int64_t out_stride, int64_t rows, int units, const Term* term,
                            int terms, int threads) {
    int panels = (units + PRODUCT_U * LANES - 1) / (PRODUCT_U * LANES);
    int64_t size = 0;
    for (int j = 0; j < terms; j++) size += panels * panel_size(term[j].K, 1, PRODUCT_U);
    T* packed = (T*)aligned_alloc(64, (size * sizeof(T) + 127) / 64 * 64);
    T* w = packed;
    for (int j = 0; j < terms; j++) {
        int64_t stride = panel_size(term[j].K, 1, PRODUCT_U);
        pack(w, &term[j].matrix, 1, PRODUCT_U, units, term[j].K, stride, 0, panels);
        w += panels * stride;
    }
    RowProduct p = {out, out_stride, rows, units, terms, threads, term, packed};
    parallel(threads, row_product_part, &p);
    free(packed);
}

extern "C" void outer_product(T* out, int64_t out_stride, const T* left, int64_t left_stride,
                              const T* right, int64_t right_stride, int64_t rows, int M, int N,
                              int add, int threads) {
    OuterProduct p = {out, out_stride, left, right, left_stride, right_stride,
                      rows, M, N, add, threads};
    parallel(threads, outer_product_part, &p);
}

// ---------------------------------------------------------------- the loop over time

// Where the bodies find one array: base + (step & wrap)·time + row·row_stride. A ring of two steps
// has wrap 1, a whole array −1. With shift ≠ 0 it is the step before or after the present one: at
// the end of a row `first` (zeros if null), and zeros across a reset.
struct Stream {
    T* base;
    int64_t time, row;
    int64_t wrap;
    int64_t shift;
    const T* first;
    int64_t first_row;
};

constexpr int MOST_STREAMS = 32, MOST_SCALARS = 96;
struct Row {
    T* p[MOST_STREAMS];
    T s[MOST_SCALARS];
    int b, length;
};

struct Call {
    int64_t T_, B;
    const int* size;           // a number for each letter
    const Stream* stream;
    const T* const* vector;    // weights of one dimension
    const Matrix* matrix;      // for each group, its terms, for each its products
    const int* order;          // rows, longest first
    const int* length;         // of each row, in the same order; null: all T
    const uint8_t* reset;      // [T, B] or null
    int descending, threads, split_units, chunk;
    const T* zero;             // as long as the widest array
    T* const* packed;          // room for each group's panels
};

INLINE int padded(int units) { return (units + LANES - 1) / LANES * LANES; }

INLINE bool cut(const Call& c, const Row& r, int64_t t, int64_t other) {
    int64_t later = t > other ? t : other;
    return c.reset && later >= 0 && later < r.length && c.reset[later * c.B + r.b];
}
INLINE T* locate(const Call& c, const Stream& s, const Row& r, int64_t t) {
    if (s.shift == 0) return s.base + (t & s.wrap) * s.time + r.b * s.row;
    int64_t other = t + s.shift;
    if (cut(c, r, t, other)) return (T*)c.zero;
    if (other < 0 || other >= r.length) return (T*)(s.first ? s.first + r.b * s.first_row : c.zero);
    return s.base + (other & s.wrap) * s.time + r.b * s.row;
}

// Every tile of one group: panels outside, so that a panel is read once for all rows.
template <class G, int M, int N>
INLINE void tiles(const Call& c, Row* r, int n, int panel) {
    int i = 0;
    for (; i + M <= n; i += M) G::template tile<M, N>(c, r + i, panel);
    if constexpr (M > 4)
        if (i + M / 2 <= n) { G::template tile<M / 2, N>(c, r + i, panel); i += M / 2; }
    if constexpr (M > 1) for (; i + 2 <= n; i += 2) G::template tile<2, N>(c, r + i, panel);
    for (; i < n; i++) G::template tile<1, N>(c, r + i, panel);
}
template <class G>
static void sweep(const Call& c, Row* r, int n, int member, int members) {
    constexpr int M = G::M, U = G::U;
    int units = c.size[G::letter], panels = (units + U * LANES - 1) / (U * LANES);
    for (int p = panels * member / members; p < panels * (member + 1) / members; p++) {
        int left = (units - p * U * LANES + LANES - 1) / LANES;
        if (left >= U) tiles<G, M, U>(c, r, n, p);
        else if constexpr (U > 1) {
            if (U > 3 && left == 3) tiles<G, M, U < 3 ? 1 : 3>(c, r, n, p);
            else if (U > 2 && left == 2) tiles<G, M, U < 2 ? 1 : 2>(c, r, n, p);
            else tiles<G, M, 1>(c, r, n, p);
        }
    }
}

template <class G>
static void pack_group(const Call& c) {
    int K = 0, at = 0, units = c.size[G::letter];
    if (G::A == 0) return;
    for (int j = 0; j < G::terms; j++) K += c.size[G::depth[j]];
    int64_t stride = panel_size(K, G::A, G::U);
    for (int j = 0; j < G::terms; j++) {
        pack(c.packed[G::index] + panel_size(at, G::A, G::U), c.matrix + G::matrices + j * G::A,
             G::A, G::U, units, c.size[G::depth[j]], stride, 0,
             (units + G::U * LANES - 1) / (G::U * LANES));
        at += c.size[G::depth[j]];
    }
}
template <class G>
INLINE const T* panel_of(const Call& c, int panel) {
    int K = 0;
    for (int j = 0; j < G::terms; j++) K += c.size[G::depth[j]];
    return c.packed[G::index] + panel * panel_size(K, G::A, G::U);
}

template <class K>
struct Worker {
    const Call* call;
    Team* team;
    int first, step, rows;  // of `order`
};

template <class K>
static void run_rows(const Call& c, Team& team, int member, int first, int step, int n) {
    Row* r = (Row*)malloc(sizeof(Row) * (n + 1));
    Row* hoisted = K::hoists ? (Row*)malloc(sizeof(Row) * (n * c.chunk + 1)) : 0;
    for (int i = 0; i < n; i++) {
        int at = first + i * step;
        r[i].b = c.order ? c.order[at] : at;
        r[i].length = c.length ? c.length[at] : (int)c.T_;
    }
    int active = 0;  // rows come longest first
    for (int64_t k = 0; k < c.T_; k++) {
        int64_t t = c.descending ? c.T_ - 1 - k : k;
        if (K::hoists && k % c.chunk == 0) {
            int64_t count = 0;
            for (int64_t q = k; q < k + c.chunk && q < c.T_; q++) {
                int64_t s = c.descending ? c.T_ - 1 - q : q;
                for (int i = 0; i < n && r[i].length > s; i++, count++)
                    for (int j = 0; j < K::hoisted_streams; j++)
                        hoisted[count].p[j] = locate(c, c.stream[j], r[i], s);
            }
            if (K::hoists) K::hoist(c, hoisted, (int)count, member, team.members);
            team.meet();
        }
        active = n;
        if (c.length) {
            active = 0;
            while (active < n && r[active].length > t) active++;
        }
        for (int i = 0; i < active; i++) {
            for (int j = 0; j < K::streams; j++) r[i].p[j] = locate(c, c.stream[j], r[i], t);
            for (int j = 0; j < K::scalars; j++) r[i].s[j] = 0;
        }
        K::phases(c, r, active, team, member);
    }
    if (K::finishes) {
        for (int i = 0; i < n; i++) {
            int64_t t = c.descending ? -1 : r[i].length;
            for (int j = 0; j < K::streams; j++) r[i].p[j] = locate(c, c.stream[j], r[i], t);
        }
        K::finish(c, r, n, member, team.members);
    }
    free(hoisted);
    free(r);
}
template <class K>
static void run_worker(void* with, int index) {
    Worker<K>* all = (Worker<K>*)with;
    const Call& c = *all->call;
    if (c.split_units) return run_rows<K>(c, *all->team, index, 0, 1, (int)c.B);
    Team alone = {1, 0, 0};
    if (c.length) {  // long rows and short ones, dealt out in turn
        int n = (int)((c.B - index + c.threads - 1) / c.threads);
        return run_rows<K>(c, alone, 0, index, c.threads, n);
    }
    int from = (int)(c.B * index / c.threads), to = (int)(c.B * (index + 1) / c.threads);
    run_rows<K>(c, alone, 0, from, 1, to - from);
}
template <class K>
static void run(const Call* c) {
    K::pack(*c);
    Team team = {c->threads, 0, 0};
    Worker<K> with = {c, &team, 0, 0, 0};
    parallel(c->threads, run_worker<K>, &with);
}

extern "C" int lanes() { return LANES; }
