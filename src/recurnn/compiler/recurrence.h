// The loop over time, the same for every cell. What differs from cell to cell, the body of each
// phase, is generated and follows this text in one translation unit.

#include <stdlib.h>
#include <sys/mman.h>

// Where the bodies find one array: base + (step & wrap) · time + row · row_stride. A ring has a
// power of two less one as its wrap, a whole array −1. With shift ≠ 0 it is the step before or
// after the present one: at the end of a row `first` (zeros if there is none), and zeros across a
// reset. Numbers in place of addresses: see `Call`.
struct Place {
    int64_t array, offset;  // array −1: the scratch; −2: a row of zeros
    int64_t time, row, wrap, shift;
    int64_t first, first_row;
};
struct MatrixPlace { int64_t array, offset, unit_stride, k_stride; };
struct VectorPlace { int64_t array[2], offset[2]; };  // the sum of two, or of one and −1
struct FactorPlace { int64_t stream, offset, width; };
struct SumPlace { int64_t array, offset, stride, copy, copy_offset; };
struct RowSum { int64_t offset, width, array, array_offset, copy, copy_offset; };

// Everything that stays the same from call to call with the same sizes. Arrays that change are
// numbered, and their addresses come with each call.
struct Call {
    int64_t T_, B;
    const int* size;               // a number for each letter
    const Place* stream;
    const VectorPlace* vector;     // weights of one dimension, copied to the scratch
    const int64_t* vector_at;      // where to
    const int* vector_size;
    const MatrixPlace* matrix;     // for each group, its terms, for each its products
    const int64_t* packed_at;      // room of each group's panels in the scratch
    const Columns* columns;        // backward: the products whose weights want a gradient,
    const FactorPlace* factor;     // what they multiplied,
    const SumPlace* sum;           // and where each pair's sum goes
    const RowSum* row_sum;         // gradients of vectors that were added up row by row
    int64_t scratch, dz, sums_at, sums_room, zeros_at, zeros, outer_at;
    int64_t length, reset;         // the arrays of lengths, int64 [B], and resets [T, B], or −1
    int vectors, blocks, factors, row_sums;
    int descending, reverse, threads, may_go_alone, pool, split_units, chunk, wants_x;
    int packed;  // the scratch still holds the weights that an earlier call has laid out in it
};

constexpr int MOST_VECTORS = 64;

// One row of the batch at one step: where each stream is.
template <int streams, int scalars> struct RowOf {
    T* p[streams];
    T s[scalars ? scalars : 1];
    int b, length;
    bool regular;  // not at an end nor at a reset: the next step's addresses are one stride on
};
struct Stream {
    T* base;
    int64_t time, row, wrap, shift;
    T* first;
    int64_t first_row;
};

// One call: what `Call` says, with addresses.
struct Scan {
    const Call& call;
    void* const* address;
    T* scratch;
    const int* size;
    const T* vector[MOST_VECTORS];
    const T* zeros;
    const uint8_t* reset;
    int *order, *length;  // rows, longest first; null: all rows have T steps
    Stream* stream;

    T* at(int64_t array, int64_t offset) const {
        return array == -1 ? scratch + offset : array == -2 ? (T*)zeros
             : address[array] ? (T*)address[array] + offset : 0;
    }
};

// Whether a reset lies between two steps that follow one another. A row that is run backwards
// ends at step 0, where there is nothing to cut.
INLINE bool cut(const Scan& c, int b, int length, int64_t t, int64_t other) {
    int64_t later = t > other ? t : other;
    return c.reset && later >= c.call.reverse && later < length && c.reset[later * c.call.B + b];
}
INLINE T* locate(const Scan& c, const Stream& s, int b, int length, int64_t t) {
    if (s.shift == 0) return s.base + (t & s.wrap) * s.time + b * s.row;
    int64_t other = t + s.shift;
    if (cut(c, b, length, t, other)) return (T*)c.zeros;
    if (other < 0 || other >= length) return s.first ? s.first + b * s.first_row : (T*)c.zeros;
    return s.base + (other & s.wrap) * s.time + b * s.row;
}
struct Cleared { int stream, letter; };
template <class Row>
INLINE void locate_all(const Scan& c, int streams, Row& r, int64_t t) {
    for (int j = 0; j < streams; j++) r.p[j] = locate(c, c.stream[j], r.b, r.length, t);
}
INLINE bool at_edge(const Scan& c, int b, int length, int64_t t) {
    return t <= 0 || t + 1 >= length || cut(c, b, length, t, t - 1) || cut(c, b, length, t, t + 1);
}

// Every tile of one group: panels outside, so that a panel is read once for all rows.
template <class G, class Row>
static void sweep(const Scan& c, Row* r, int n, int member, int members) {
    int units = c.size[G::letter], panels = panels_of(units, G::U);
    int64_t from = (int64_t)panels * member / members, to = (int64_t)panels * (member + 1) / members;
    for (int p = from; p < to; p++) {
        int left = (units - p * G::U * LANES + LANES - 1) / LANES, N = left < G::U ? left : G::U;
        in_tiles(n, G::M, [&](int first, int M) { G::tile(c, r + first, M, N, p); });
    }
}

template <class G>
static int64_t panel_room(const Scan& c) {
    int64_t size = 0;
    for (int j = 0; j < G::terms; j++) size += panel_size(c.size[G::depth[j]], G::A, G::U);
    return size;
}
template <class G>
static void pack_group(const Scan& c, int member, int members) {
    int units = c.size[G::letter], panels = panels_of(units, G::U);
    int64_t at = 0, stride = panel_room<G>(c);
    T* to = c.scratch + c.call.packed_at[G::index];
    for (int j = 0; j < G::terms; j++) {
        Matrix m[G::A];
        for (int a = 0; a < G::A; a++) {
            const MatrixPlace& place = c.call.matrix[G::matrices + j * G::A + a];
            m[a] = {c.at(place.array, place.offset), place.unit_stride, place.k_stride};
        }
        pack(to + at, m, G::A, G::U, units, c.size[G::depth[j]], stride,
             (int64_t)panels * member / members, (int64_t)panels * (member + 1) / members);
        at += panel_size(c.size[G::depth[j]], G::A, G::U);
    }
}
template <class G>
INLINE const T* panel_of(const Scan& c, int panel) {
    return c.scratch + c.call.packed_at[G::index] + panel * panel_room<G>(c);
}

// ---------------------------------------------------------------- what one call prepares

// Rows longest first, rows of one length in their order.
static void sort_rows(const int64_t* length, int64_t B, int64_t T_, int* order, int* sorted) {
    int* begin = (int*)calloc(T_ + 2, sizeof(int));
    for (int64_t b = 0; b < B; b++) begin[T_ - length[b] + 1]++;
    for (int64_t t = 0; t < T_; t++) begin[t + 1] += begin[t];
    for (int64_t b = 0; b < B; b++) {
        int at = begin[T_ - length[b]]++;
        order[at] = b;
        sorted[at] = length[b];
    }
    free(begin);
}

// Large arrays in large pages: a first touch costs less, and a panel is read without a halt at
// every small page.
static void in_large_pages(void* from, int64_t bytes) {
#ifdef MADV_HUGEPAGE
    const uintptr_t page = 2 << 20, start = ((uintptr_t)from + page - 1) & ~(page - 1);
    const uintptr_t end = ((uintptr_t)from + bytes) & ~(page - 1);
    if (bytes >= 4 << 20 && end > start) madvise((void*)start, end - start, MADV_HUGEPAGE);
#endif
}

template <class K>
struct Shared {
    Scan scan;
    Stream stream[K::streams];
};
template <class K>
static void prepare(Shared<K>& s) {
    Scan& c = s.scan;
    const Call& call = c.call;
    c.zeros = c.scratch + call.zeros_at;
    if (!call.packed) {
        in_large_pages(c.scratch, call.scratch * sizeof(T));
        memset((void*)c.zeros, 0, call.zeros * sizeof(T));
    }
    memset(c.scratch + call.sums_at, 0, call.sums_room * sizeof(T));
    c.stream = s.stream;
    for (int j = 0; j < K::streams; j++) {
        const Place& p = call.stream[j];
        s.stream[j] = {c.at(p.array, p.offset), p.time, p.row, p.wrap, p.shift,
                       p.first < 0 ? 0 : (T*)c.address[p.first], p.first_row};
        if (!s.stream[j].base) {  // not given: zeros, which nobody writes to
            s.stream[j].base = (T*)c.zeros;
            s.stream[j].time = s.stream[j].row = 0;
        }
        if (K::fills(j) && p.wrap == -1 && p.array > 0)
            in_large_pages(s.stream[j].base, call.T_ * p.time * sizeof(T));
    }
    for (int v = 0; v < call.vectors; v++) {  // in whole vectors, so that bodies need no ends
        const VectorPlace& p = call.vector[v];
        T* to = c.scratch + call.vector_at[v];
        c.vector[v] = to;
        if (call.packed) continue;
        const T* one = c.at(p.array[0], p.offset[0]);
        const T* two = p.array[1] < 0 ? 0 : c.at(p.array[1], p.offset[1]);
        for (int k = 0; k < call.vector_size[v]; k++) to[k] = two ? one[k] + two[k] : one[k];
        for (int k = call.vector_size[v]; k < padded(call.vector_size[v]); k++) to[k] = 0;
    }
    c.reset = call.reset < 0 ? 0 : (const uint8_t*)c.address[call.reset];
    c.order = c.length = 0;
    if (call.length >= 0) {
        c.order = (int*)malloc(2 * (call.B + 1) * sizeof(int));
        c.length = c.order + call.B + 1;
        sort_rows((const int64_t*)c.address[call.length], call.B, call.T_, c.order, c.length);
    }
}

// ---------------------------------------------------------------- the loop

// The rows of one member: `first`, `first + stride`, … of the order.
template <class K>
struct Rows {
    typedef typename K::Row Row;
    const Scan& c;
    int n;
    Row *row, *many;  // at the present step; at every step of a chunk
    Rows(const Scan& c, int first, int stride, int n) : c(c), n(n) {
        row = (Row*)malloc(sizeof(Row) * (n + 1));
        many = (Row*)malloc(sizeof(Row) * ((int64_t)n * c.call.chunk + 1));
        for (int i = 0; i < n; i++) {
            int at = first + i * stride;
            row[i].b = c.order ? c.order[at] : at;
            row[i].length = c.length ? c.length[at] : (int)c.call.T_;
            row[i].regular = false;
        }
    }
    ~Rows() { free(row); free(many); }
    int active(int64_t t) const {  // rows come longest first
        if (!c.length) return n;
        int k = 0;
        while (k < n && row[k].length > t) k++;
        return k;
    }
    int64_t step(int64_t k) const { return c.call.descending ? c.call.T_ - 1 - k : k; }
    // The rows of steps k0 … k1 − 1 in one list, with the streams in `which`.
    template <class Which> int list(int64_t k0, int64_t k1, const Which& which) {
        int count = 0;
        for (int64_t k = k0; k < k1; k++) {
            int64_t t = step(k);
            for (int i = 0, end = active(t); i < end; i++, count++)
                for (int j : which)
                    many[count].p[j] = locate(c, c.stream[j], row[i].b, row[i].length, t);
        }
        return count;
    }
    // Every row's addresses at step t; where nothing ends, one stride on from the step before.
    int move(int64_t t) {
        int64_t before = c.call.descending ? t + 1 : t - 1, on[K::streams];
        for (int j = 0; j < K::streams; j++) {
            const Stream& s = c.stream[j];
            on[j] = (((t + s.shift) & s.wrap) - ((before + s.shift) & s.wrap)) * s.time;
        }
        int end = active(t);
        for (int i = 0; i < end; i++) {
            Row& r = row[i];
            bool edge = at_edge(c, r.b, r.length, t);
            if (edge || !r.regular) locate_all(c, K::streams, r, t);
            else for (int j = 0; j < K::streams; j++) r.p[j] += on[j];
            r.regular = !edge;
            for (int j = 0; j < K::scalars; j++) r.s[j] = 0;
        }
        return end;
    }
};

// Steps past a row's length: zeros in what is given at every step.
template <class K>
static void clear_padding(const Scan& c, const typename K::Row* row, int n) {
    for (int i = 0; i < n; i++)
        for (int64_t t = row[i].length; t < c.call.T_; t++)
            for (const auto& which : K::cleared) {
                const Stream& s = c.stream[which.stream];
                if (s.wrap == -1 && s.time)
                    memset(s.base + t * s.time + row[i].b * s.row, 0,
                           c.size[which.letter] * sizeof(T));
            }
}

// Gradients of weights: one sum over the steps and rows of a chunk, all rows of the batch in it.
template <class K>
struct WeightSums {
    const Scan& c;
    const T** rows;  // dz, then each factor, of every step and row
    Factor* factor;
    Sum* sum;
    bool begun;
    explicit WeightSums(const Scan& c) : c(c), begun(false) {
        const Call& call = c.call;
        rows = (const T**)malloc((1 + call.factors) * call.B * call.chunk * sizeof(T*) + 1);
        factor = (Factor*)malloc(call.factors * sizeof(Factor) + 1);
        sum = (Sum*)malloc(call.blocks * call.factors * sizeof(Sum) + 1);
        for (int k = 0; k < call.blocks * call.factors; k++) {
            const SumPlace& p = call.sum[k];
            sum[k] = {p.array < 0 ? 0 : c.at(p.array, p.offset),
                      p.copy < 0 ? 0 : c.at(p.copy, p.copy_offset), p.stride};
        }
    }
    ~WeightSums() { free(rows); free(factor); free(sum); }
    void add(int64_t k0, int64_t k1, int member, int members) {
        const Call& call = c.call;
        if (!call.blocks) return;
        int64_t most = call.B * call.chunk;
        int count = 0;
        for (int64_t k = k0; k < k1; k++) {
            int64_t t = call.descending ? call.T_ - 1 - k : k;
            for (int64_t i = 0; i < call.B; i++) {
                int b = c.order ? c.order[i] : i, length = c.length ? c.length[i] : call.T_;
                if (length <= t) break;
                rows[count] = locate(c, c.stream[K::dz], b, length, t);
                for (int f = 0; f < call.factors; f++) {
                    const FactorPlace& p = call.factor[f];
                    if (p.width) rows[(1 + f) * most + count] =
                        locate(c, c.stream[p.stream], b, length, t) + p.offset;
                }
                count++;
            }
        }
        if (!count && k1 < call.T_) return;
        for (int f = 0; f < call.factors; f++)
            factor[f] = {rows + (1 + f) * most, (int)call.factor[f].width};
        outer({rows, call.columns, factor, sum, count, call.blocks, call.factors, begun},
              member, members, c.scratch + call.outer_at + member * OUTER_ROOM);
        begun = true;
    }
};
static void row_sums(const Scan& c) {
    for (int k = 0; k < c.call.row_sums; k++) {
        const RowSum& p = c.call.row_sum[k];
        T *out = c.at(p.array, p.array_offset), *copy = p.copy < 0 ? 0 : c.at(p.copy, p.copy_offset);
        for (int j = 0; out && j < p.width; j++) {
            T total_ = 0;
            for (int64_t b = 0; b < c.call.B; b++)
                total_ += c.scratch[c.call.sums_at + b * c.call.sums_room / c.call.B + p.offset + j];
            out[j] = total_;
            if (copy) copy[j] = total_;
        }
    }
}

template <class K>
static void work(void* with, Team& team, int member) {
    const Scan& c = ((Shared<K>*)with)->scan;
    const Call& call = c.call;
    int members = team.members;
    Team alone = {1};
    if (!call.packed) {
        K::pack(c, member, members);
        team.meet();
    }
    // Each member has rows of its own, or all of them have all rows and some of the units each.
    bool units = call.split_units && members > 1;
    Team* together = units ? &team : &alone;
    int part = units ? member : 0, parts = units ? members : 1;
    int from = (int)(call.B * member / members), to = (int)(call.B * (member + 1) / members);
    Rows<K> rows = units      ? Rows<K>(c, 0, 1, (int)call.B)
                   : c.length ? Rows<K>(c, member, members, (int)((call.B - member + members - 1) / members))
                              : Rows<K>(c, from, 1, to - from);
    WeightSums<K> sums(c);
    bool idle = false;  // the first member does the others' part, after they were late too often
    auto go_alone_if_late = [&]() {
        if (!together->late_often || !call.may_go_alone) return;
        idle = part > 0;
        together = &alone, part = 0, parts = 1;
    };
    for (int64_t k0 = 0; k0 < call.T_; k0 += call.chunk) {
        int64_t k1 = k0 + call.chunk < call.T_ ? k0 + call.chunk : call.T_;
        if constexpr (K::hoists) {
            if (!idle) K::hoist(c, rows.many, rows.list(k0, k1, K::hoist_streams), part, parts);
            if (!idle) together->meet();
            go_alone_if_late();
        }
        for (int64_t k = k0; k < k1 && !idle; k++) {
            int n = rows.move(rows.step(k));
            K::phases(c, rows.row, n, *together, part);
            go_alone_if_late();
        }
        if constexpr (K::backward) {
            if (call.wants_x && !idle)
                K::input(c, rows.many, rows.list(k0, k1, K::input_streams), part, parts);
            // The dz of all rows are there. They lie in a ring of two chunks: nobody is a chunk
            // ahead of anybody, so one meeting a chunk is enough.
            team.meet();
            sums.add(k0, k1, member, members);
        }
    }
    if (!idle) {
        for (int i = 0; i < rows.n; i++)
            locate_all(c, K::streams, rows.row[i], call.descending ? -1 : rows.row[i].length);
        K::finish(c, rows.row, rows.n, part, parts);
        if (part == 0) clear_padding<K>(c, rows.row, rows.n);
    }
    if constexpr (K::backward) {
        team.meet();
        if (member == 0) row_sums(c);
    }
}
template <class K>
static void run(const Call* call, void* const* address) {
    Shared<K> shared = {{*call, address, (T*)address[0], call->size}, {}};
    prepare(shared);
    parallel(call->threads, call->pool, work<K>, &shared);
    free(shared.scan.order);
}

extern "C" int lanes() { return LANES; }
extern "C" int64_t outer_room() { return OUTER_ROOM; }
extern "C" int packed() { return PACKED; }
