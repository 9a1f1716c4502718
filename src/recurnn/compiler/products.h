// Matrix products: how weights are laid out for them, the micro-kernel, and the sums over steps.
//
// Words: a *panel* is U vectors of units for each of A products that share their operands; a
// *tile* is M rows of the batch times one panel, and stays in registers while K runs.

// One matrix of a product: `at(unit, k)` is its element, whichever way round it is stored.
struct Matrix {
    const T* data;
    int64_t unit_stride, k_stride;
};

constexpr int AHEAD = 16;   // k by which a panel is called for before it is used
constexpr int DEEP = 128;  // products at least this deep leave time to fetch what comes after them
INLINE int padded(int units) { return (units + LANES - 1) / LANES * LANES; }
constexpr int width(int A) { return A == 1 ? 4 : A == 2 ? 2 : 1; }
constexpr int rows_in_registers(int A) {
    return ACCUMULATORS / (A * width(A)) < 1 ? 1 : ACCUMULATORS / (A * width(A)) > 8 ? 8
         : ACCUMULATORS / (A * width(A));
}
// With HALF_PRODUCTS a panel holds bfloat16, two of k in the room of one number, and operands are
// rounded to it as they come; sums stay in float32. Where there is a matrix unit its tiles make the
// products: of 16 rows, over whole pieces of k.
#if defined(HALF_PRODUCTS) && defined(TILES)
constexpr int PACKED = 2, WHOLE = PIECE;
#elif defined(HALF_PRODUCTS) && defined(__AVX512BF16__)
constexpr int PACKED = 2, WHOLE = 2;
#else
constexpr int PACKED = 1, WHOLE = 1;
#endif
constexpr bool TILED = WHOLE > 2;
constexpr int rows_of(int A) { return TILED ? 16 : rows_in_registers(A); }
INLINE int depth_of(int K) { return (K + WHOLE - 1) / WHOLE * WHOLE; }
INLINE int64_t panel_size(int K, int A, int U) {
    return (int64_t)(depth_of(K) / PACKED) * A * U * LANES;
}
INLINE int panels_of(int units, int U) { return (units + U * LANES - 1) / (U * LANES); }

// ---------------------------------------------------------------- layout

// Where a vector and the one of the next k go together, as a panel has them.
#if defined(HALF_PRODUCTS) && defined(__AVX512BF16__)
INLINE Bits rounded(V v) {  // to the nearest bfloat16, ties to even; NaN stays NaN
    Bits b = (Bits)v;
    return v != v ? b | 0x400000u : b + 0x7fffu + (b >> 16 & 1u);
}
INLINE void store_packed(T* to, V v, V next) {
    store(to, (V)(rounded(v) >> 16 | (rounded(next) & 0xffff0000u)));
}
#else
INLINE void store_packed(T* to, V v, V) { store(to, v); }
#endif

// to[k / packed · to_stride + u] = from[u][k] for `left` rows and K columns; zeros beyond.
template <int packed>
static NOINLINE void transposed(T* to, int64_t to_stride, const T* const* from, int left, int K) {
    for (int k = 0; k < K; k += LANES) {
        V v[LANES + 1] = {};
        for (int u = 0; u < left; u++) v[u] = load(from[u] + k, K - k);
        transpose(v);
        for (int j = 0; j < LANES && k + j < K; j += packed)
            if (packed == 1) store(to + (k + j) * to_stride, v[j]);
            else store_packed(to + (k + j) / packed * to_stride, v[j], v[j + 1]);
    }
}

// One vector's column of a panel, K long, and zeros up to whole pieces.
static void pack_column(T* to, int64_t to_stride, const Matrix& m, int unit, int units, int K) {
    int left = units - unit < LANES ? units - unit : LANES;
    for (int k = (K + PACKED - 1) / PACKED; k < depth_of(K) / PACKED; k++) store(to + k * to_stride, V{});
    const T* from = m.data + unit * m.unit_stride;
    if (m.unit_stride == 1) {
        for (int k = 0; k < K; k += PACKED)
            store_packed(to + k / PACKED * to_stride, load(from + k * m.k_stride, left),
                         PACKED > 1 && k + 1 < K ? load(from + (k + 1) * m.k_stride, left) : V{});
        return;
    }
    const T* row[LANES];
    for (int u = 0; u < left; u++) row[u] = from + u * m.unit_stride;
    transposed<PACKED>(to, to_stride, row, left, K);
}
// Panels `first` … `last` − 1 of A matrices side by side: panel, k, product, lane.
static void pack(T* to, const Matrix* m, int A, int U, int units, int K, int64_t panel_stride,
                 int first, int last) {
    int64_t stride = (int64_t)A * U * LANES;
    for (int p = first; p < last; p++)
        for (int a = 0; a < A; a++)
            for (int n = 0; n < U; n++) {
                int unit = (p * U + n) * LANES;
                T* column = to + p * panel_stride + (a * U + n) * LANES;
                if (unit < units) pack_column(column, stride, m[a], unit, units, K);
            }
}

// ---------------------------------------------------------------- the micro-kernel

#if defined(HALF_PRODUCTS) && defined(__AVX512BF16__)
INLINE __m512i operand(const T* row, int k) { return _mm512_set1_epi32(((const int*)row)[k / 2]); }
INLINE V multiply_add(__m512i x, V w, V sum) {
    return (V)_mm512_dpbf16_ps((__m512)sum, (__m512bh)x, (__m512bh)w);
}
// A row of K numbers as bfloat16, two in the room of one, in whole vectors; `to` may be `row`.
INLINE void pack_operand(T* to, const T* row, int K) {
    for (int k = 0; k < K; k += 2 * LANES) {
        V first = load(row + k, K - k), second = k + LANES < K ? load(row + k + LANES, K - k - LANES) : V{};
        store(to + k / 2, (V)_mm512_cvtne2ps_pbh((__m512)second, (__m512)first));
    }
}
#else
INLINE V operand(const T* row, int k) { return broadcast(row[k]); }
INLINE V multiply_add(V x, V w, V sum) { return sum + x * w; }
INLINE void pack_operand(T*, const T*, int) {}
#endif

// acc[m][a · N + n] = Σ_k rows[m][k] · panel[k][a][n], or += where it is not the first term. U is
// the panel's width, N ≤ U what is used of it.
template <int M, int A, int U, int N>
static NOINLINE void tile_product(V* acc, bool first, int K, const T* const* rows, const T* panel) {
    V sum[M][A * N];
    const T* row[M];
#pragma GCC unroll 8
    for (int m = 0; m < M; m++) {
        row[m] = rows[m];
#pragma GCC unroll 8
        for (int j = 0; j < A * N; j++) sum[m][j] = first ? V{} : acc[m * A * N + j];
    }
    for (int k = 0; k < K; k += PACKED, panel += A * U * LANES) {
        V w[A * N];
#pragma GCC unroll 8
        for (int j = 0; j < A * U; j++)  // the processor's own look-ahead ends at every page
            __builtin_prefetch(panel + (AHEAD * A * U + j) * LANES);
#pragma GCC unroll 8
        for (int a = 0; a < A; a++)
#pragma GCC unroll 8
            for (int n = 0; n < N; n++) w[a * N + n] = load(panel + (a * U + n) * LANES);
#pragma GCC unroll 8
        for (int m = 0; m < M; m++) {
            auto x = operand(row[m], k);
#pragma GCC unroll 8
            for (int j = 0; j < A * N; j++) sum[m][j] = multiply_add(x, w[j], sum[m][j]);
        }
    }
#pragma GCC unroll 8
    for (int m = 0; m < M; m++)
#pragma GCC unroll 8
        for (int j = 0; j < A * N; j++) acc[m * A * N + j] = sum[m][j];
}

#if defined(HALF_PRODUCTS) && defined(TILES)
// As tile_product, on the matrix unit. Rows lie one stride apart; what comes of those beyond M is
// undefined, and `acc` has room for it.
template <int A, int U>
static void multiply(int M, int N, V* acc, bool first, int K, const T* const* rows,
                     const T* panel) {
    constexpr int64_t pair = A * U * sizeof(V);
    const int64_t row = M > 1 ? (rows[1] - rows[0]) * sizeof(T) : 0;
    const int beside = A > 1 && N < U ? U : 1;  // of two products' panels, each one's first vector
    for (int j = 0; j < A * N; j += 4)
        panel_product((T*)(acc + j), A * N * sizeof(V), first, depth_of(K) / PIECE, rows[0], row,
                      panel + j * beside * LANES, pair, beside, A * N - j);
}
#else
typedef void (*TileProduct)(V*, bool, int, const T* const*, const T*);
template <int A, int U, int N, size_t... m>
INLINE TileProduct of_rows(int M, std::index_sequence<m...>) {
    static const TileProduct of[] = {tile_product<(int)m + 1, A, U, N>...};
    return of[M - 1];
}
// The tile of M rows, rounded where products are of halves, and N of a panel's U vectors.
template <int A, int U>
static void multiply(int M, int N, V* acc, bool first, int K, const T* const* rows,
                     const T* panel) {
    constexpr auto most = std::make_index_sequence<rows_of(A)>();
    TileProduct run = of_rows<A, U, U>(M, most);
    if constexpr (U > 1) if (N == 1) run = of_rows<A, U, 1>(M, most);
    if constexpr (U > 2) {
        if (N == 2) run = of_rows<A, U, 2>(M, most);
        if (N == 3) run = of_rows<A, U, 3>(M, most);
    }
    run(acc, first, K, rows, panel);
}
#endif

// What some rows are multiplied by: with HALF_PRODUCTS rounded once for all panels, a row's
// operands one after another; otherwise used where it lies.
INLINE int64_t operand_room(int K) { return padded((K + 1) / 2); }
struct Operands {
    T* rounded;
    int64_t stride;
    T* row(int m, int64_t at) const { return rounded + m * stride + at; }
    const T* row(int m, int64_t at, const T* plain) const {
        return PACKED == 1 ? plain : row(m, at);
    }
};
constexpr int ROUNDED = 128;  // rows at a time: what is rounded stays near
// Where a thread rounds, from call to call; a tile may read on to its last row.
static Operands operands_of(int n, int64_t room) {
    static thread_local struct Room {
        T* data = 0;
        int64_t size = 0;
        ~Room() { free(data); }
    } at;
    int64_t stride = room + LANES;  // rows do not lie a power of two apart
    int64_t size = (n + rows_of(1)) * stride;
    if (at.size < size) {
        free(at.data);
        at.data = (T*)aligned_alloc(sizeof(V), size * sizeof(T));
        at.size = size;
    }
    return {at.data, stride};
}

// n rows in as few tiles as M allows, all of nearly the same height: run(first, height).
template <class F>
INLINE void in_tiles(int n, int M, F run) {
    int count = (n + M - 1) / M;
    for (int k = 0, at = 0; k < count; k++) {
        int height = n / count + (k < n % count);
        run(at, height);
        at += height;
    }
}

// ---------------------------------------------------------------- sums over steps and rows

// out[m][n] += Σ_r left[r][m] · right[r][n]: gradients of weights. Each element is summed by one
// thread in the order of r, so that the number of threads does not change a bit.
struct Columns {   // some columns of the left side: the dz of one product
    int64_t at;
    int count;
};
struct Factor {    // a right side; of width 0: ones, for sums of the left columns
    const T* const* rows;
    int width;
};
struct Sum {       // where a pair of them goes; a vector may be wanted in two places
    T *out, *copy;
    int64_t stride;
};
struct Outer {
    const T* const* left;
    const Columns* columns;
    const Factor* factor;
    const Sum* sum;  // [column block][factor]
    int rows, blocks, factors;
    int depth;     // rows that are summed while they lie near, in whole vectors
    bool add;
};
constexpr int MOST_COLUMNS = 384, OUTER_M = rows_of(1), OUTER_N = width(1);
constexpr int OUTER_WIDTH = MOST_COLUMNS + OUTER_N * LANES;  // of the room that one member needs

struct Strip {  // some columns, at most OUTER_M, of a block
    int block, first, count;
};
INLINE void add_to(T* out, V v, bool add, int left) {
    store(out, add ? v + load(out, left) : v, left);
}
// The sums of a strip's columns themselves.
static void outer_ones(const Sum& to, const Strip& s, const T* turned, int stride, int depth,
                       bool add) {
    for (int m = 0; to.out && m < s.count; m++) {
        V v = {};
        for (int r = 0; r < depth; r += LANES) v += load(turned + m * stride + r, depth - r);
        T total_ = total(v) + (add ? to.out[s.first + m] : 0);
        to.out[s.first + m] = total_;
        if (to.copy) to.copy[s.first + m] = total_;
    }
}
static void outer_strip(const Outer& p, const Strip& s, const T* packed, int f, int n0,
                        const T* panel, int depth, bool add) {
    const Sum& to = p.sum[s.block * p.factors + f];
    if (!to.out) return;
    const T* rows[OUTER_M];
    for (int m = 0; m < s.count; m++) rows[m] = packed + m * p.depth;
    int left = p.factor[f].width - n0, N = (left + LANES - 1) / LANES;
    if (N > OUTER_N) N = OUTER_N;
    V acc[OUTER_M * OUTER_N];
    multiply<1, OUTER_N>(s.count, N, acc, true, depth, rows, panel);
    for (int m = 0; m < s.count; m++)
        for (int n = 0; n < N; n++)
            add_to(to.out + (s.first + m) * to.stride + n0 + n * LANES, acc[m * N + n], add,
                   left - n * LANES);
}
// The strips from `first` to `last`, whose columns have room in `scratch`, for `depth` rows.
static void outer_strips(const Outer& p, const Strip* strip, int strips, int r0, int depth,
                         T* scratch) {
    T *packed = scratch, *panel = scratch + (int64_t)p.depth * MOST_COLUMNS;
    bool add = p.add || r0 > 0;
    int columns = 0;
    for (int s = 0, end; s < strips; s = end) {  // strips of one block lie side by side
        int count = 0;
        for (end = s; end < strips && strip[end].block == strip[s].block; end++)
            count += strip[end].count;
        int64_t from = p.columns[strip[s].block].at + strip[s].first;
        for (int r = 0; r < depth; r += LANES) {
            const T* row[LANES];
            int some = depth - r < LANES ? depth - r : LANES;
            for (int k = 0; k < some; k++) row[k] = p.left[r0 + r + k] + from;
            for (int k = LANES; k < 2 * LANES && r + k < depth; k++)  // rows lie pages apart
                for (int at = 0; at < count; at += LANES)
                    __builtin_prefetch(p.left[r0 + r + k] + from + at);
            transposed<1>(packed + (int64_t)columns * p.depth + r, p.depth, row, some, count);
        }
        columns += count;
    }
    for (int f = 0; f < p.factors; f++) {
        if (p.factor[f].width) continue;
        const T* turned = packed;
        for (int s = 0; s < strips; turned += strip[s++].count * p.depth)
            outer_ones(p.sum[strip[s].block * p.factors + f], strip[s], turned, p.depth, depth, add);
    }
    for (int c = 0; c < columns; c++) pack_operand(packed + c * p.depth, packed + c * p.depth, depth);
    for (int f = 0; f < p.factors; f++) {
        bool wanted = false;
        if (!p.factor[f].width) continue;
        for (int s = 0; s < strips; s++) wanted |= p.sum[strip[s].block * p.factors + f].out != 0;
        if (!wanted) continue;
        for (int n0 = 0; n0 < p.factor[f].width; n0 += OUTER_N * LANES) {
            const T* const* row = p.factor[f].rows + r0;
            for (int r = 0; r < depth_of(depth); r += PACKED)
                for (int n = 0; n < OUTER_N; n++) {
                    int at = n0 + n * LANES, left = p.factor[f].width - at;
                    if (left > 0)
                        store_packed(panel + (r / PACKED * OUTER_N + n) * LANES,
                                     r < depth ? load(row[r] + at, left) : V{},
                                     PACKED > 1 && r + 1 < depth ? load(row[r + 1] + at, left) : V{});
                }
            const T* turned = packed;
            for (int s = 0; s < strips; s++) {
                outer_strip(p, strip[s], turned, f, n0, panel, depth, add);
                turned += strip[s].count * p.depth;
            }
        }
    }
}
static void outer(const Outer& p, int member, int members, T* scratch) {
    constexpr int most = MOST_COLUMNS / OUTER_M;
    Strip strip[most];
    int all = 0, seen = 0, strips = 0;
    for (int b = 0; b < p.blocks; b++) all += (p.columns[b].count + OUTER_M - 1) / OUTER_M;
    int from = (int64_t)all * member / members, to = (int64_t)all * (member + 1) / members;
    for (int b = 0; b < p.blocks; b++)
        in_tiles(p.columns[b].count, OUTER_M, [&](int first, int count) {
            if (seen >= from && seen < to) strip[strips++] = {b, first, count};
            seen++;
            bool whole = strips == most || (seen == to && strips);
            if (!whole) return;
            int r0 = 0;  // of no rows the sum is zero, and that is written too
            do {
                int depth = p.rows - r0 < p.depth ? p.rows - r0 : p.depth;
                outer_strips(p, strip, strips, r0, depth, scratch);
            } while ((r0 += p.depth) < p.rows);
            strips = 0;
        });
}
