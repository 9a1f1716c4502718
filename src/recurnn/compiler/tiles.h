// Products of bfloat16 with sums in float32, by the tiles of the processor's matrix unit: with
// panels as products.h has them, and in blocks for the output layer.
//
// A *block* has SIDE × SIDE sums. Its *left* operand lies [piece][row][k of a piece], so that a tile
// is one run of memory; its *right* one [pair of k][column][2]. Beyond the last k both are zero.

#if defined(MATRIX_UNIT) && defined(__AMX_TILE__) && defined(__AMX_BF16__) \
    && defined(__AVX512BF16__) && defined(__linux__)
#define TILES 1

typedef uint16_t Half;
constexpr int SIDE = 2 * LANES;
constexpr int PIECE = 32;                                 // of k: a tile is 16 rows of 64 bytes
constexpr int LEFT = SIDE * PIECE, RIGHT = PIECE * SIDE;  // numbers in a piece of an operand
constexpr int PAIR = 2 * SIDE;                            // from one pair of k to the next
static_assert(SIDE == PIECE, "the columns of a block become a piece of the next product");
INLINE int64_t blocks_of(int64_t n) { return (n + SIDE - 1) / SIDE; }
INLINE int64_t pieces_of(int64_t k) { return (k + PIECE - 1) / PIECE; }

// What tiles look like belongs to a thread, which sets it up for as long as this lives. Tiles in use
// make each change of threads dearer, so that they are given back.
struct TileUse {
    TileUse() {
        alignas(64) uint8_t shape[64] = {1};  // palette 1; all eight tiles: 16 rows of 64 bytes
        for (int k = 0; k < 8; k++) shape[16 + 2 * k] = 64, shape[48 + k] = 16;
        asm volatile("" ::: "memory");  // the compiler does not know what the instruction reads
        _tile_loadconfig(shape);
    }
    ~TileUse() { _tile_release(); }
};

// sum[m][j] = Σ_k left[m][k] · panel[k][j], or += where it is not the first term: for 16 rows m of
// `left` and the first `columns` of at most four vectors j of a panel, which lie `beside` vectors
// apart. Strides are in bytes.
static NOINLINE void panel_product(T* sum, int64_t sum_row, bool first, int pieces, const T* left,
                                   int64_t left_row, const T* panel, int64_t pair, int beside,
                                   int columns) {
    const int step = beside * LANES;
    asm volatile("" ::: "memory");
    if (first) {
        _tile_zero(0); _tile_zero(1); _tile_zero(2); _tile_zero(3);
    } else {
        _tile_loadd(0, sum, sum_row);
        if (columns > 1) _tile_loadd(1, sum + LANES, sum_row);
        if (columns > 2) _tile_loadd(2, sum + 2 * LANES, sum_row);
        if (columns > 3) _tile_loadd(3, sum + 3 * LANES, sum_row);
    }
    for (int n = 0; n < pieces; n++, left += LANES, panel += LANES * pair / sizeof(T)) {
        _tile_loadd(4, left, left_row);
        _tile_loadd(5, panel, pair);
        _tile_dpbf16ps(0, 4, 5);
        if (columns > 1) {
            _tile_loadd(6, panel + step, pair);
            _tile_dpbf16ps(1, 4, 6);
        }
        if (columns > 2) {
            _tile_loadd(7, panel + 2 * step, pair);
            _tile_dpbf16ps(2, 4, 7);
        }
        if (columns > 3) {
            _tile_loadd(5, panel + 3 * step, pair);
            _tile_dpbf16ps(3, 4, 5);
        }
    }
    _tile_stored(0, sum, sum_row);
    if (columns > 1) _tile_stored(1, sum + LANES, sum_row);
    if (columns > 2) _tile_stored(2, sum + 2 * LANES, sum_row);
    if (columns > 3) _tile_stored(3, sum + 3 * LANES, sum_row);
    asm volatile("" ::: "memory");
}

// sum[m][n] = Σ_k left[m][k] · right[k][n], or += where it is not the first term. What lies beyond
// the rows and columns that are used is undefined. Tiles 0 … 3 are the sums, two by two, 4 and 5 the
// left operand, 6 and 7 the right one.
static NOINLINE void block_product(T* sum, bool first, int pieces, const Half* left,
                                   const Half* right, int rows, int columns) {
    constexpr int row = SIDE * sizeof(T), pair = PAIR * sizeof(Half), k = PIECE * sizeof(Half);
    constexpr int below = LANES * SIDE, lower = LANES * PIECE, beside = LANES;
    const bool tall = rows > LANES, wide = columns > LANES;
    asm volatile("" ::: "memory");
    if (first) {
        _tile_zero(0); _tile_zero(1); _tile_zero(2); _tile_zero(3);
    } else {
        _tile_loadd(0, sum, row); _tile_loadd(1, sum + beside, row);
        _tile_loadd(2, sum + below, row); _tile_loadd(3, sum + below + beside, row);
    }
    for (int n = 0; n < pieces; n++, left += LEFT, right += RIGHT) {
        _tile_loadd(4, left, k);
        _tile_loadd(6, right, pair);
        _tile_dpbf16ps(0, 4, 6);
        if (wide) {
            _tile_loadd(7, right + 2 * beside, pair);
            _tile_dpbf16ps(1, 4, 7);
        }
        if (!tall) continue;
        _tile_loadd(5, left + lower, k);
        _tile_dpbf16ps(2, 5, 6);
        if (wide) _tile_dpbf16ps(3, 5, 7);
    }
    _tile_stored(0, sum, row); _tile_stored(1, sum + beside, row);
    _tile_stored(2, sum + below, row); _tile_stored(3, sum + below + beside, row);
    asm volatile("" ::: "memory");
}

// ---------------------------------------------------------------- rounding, to nearest, ties to even

// a and then b.
INLINE V halves(V a, V b) { return (V)_mm512_cvtne2ps_pbh((__m512)b, (__m512)a); }
INLINE Half half(T a) { return ((Bits)halves(broadcast(a), V{}))[0]; }
INLINE V after_rounding(V a) {  // in float32 again
    __m512i low = _mm512_cvtepu16_epi32(_mm512_castsi512_si256((__m512i)halves(a, V{})));
    return (V)_mm512_slli_epi32(low, 16);
}
INLINE V load_halves(const T* p, int n) {  // the first n of 2 · LANES, and zeros
    if (n <= LANES) return halves(load(p, n > 0 ? n : 0), V{});
    return halves(load(p), load(p + LANES, n - LANES));
}
INLINE void store(Half* to, V v) { store((T*)to, v); }

// ---------------------------------------------------------------- pairs

// Which numbers are taken: first, second, first + 1, second + 1, …
template <int first, int second> INLINE __m512i places() {
    struct Places {
        alignas(64) uint16_t at[PIECE];
        constexpr Places() : at() {
            for (int k = 0; k < LANES; k++) at[2 * k] = first + k, at[2 * k + 1] = second + k;
        }
    };
    static constexpr Places found;
    return _mm512_load_si512(found.at);
}
// a[0] b[0] a[1] b[1] …, rounded.
INLINE V in_pairs(V a, V b) {
    return (V)_mm512_permutexvar_epi16(places<0, LANES>(), (__m512i)halves(a, b));
}
// Two rows of 2 · LANES halves become pairs: the first LANES of them, or the rest.
template <int from> INLINE V interleaved(V a, V b) {
    return (V)_mm512_permutex2var_epi16((__m512i)a, places<from, from + PIECE>(), (__m512i)b);
}

// ---------------------------------------------------------------- layout

// Up to SIDE rows of K numbers as a left operand.
static void lay_left(Half* to, const T* const* row, int rows, int K) {
    for (int k = 0; k < K; k += PIECE, to += LEFT)
        for (int m = 0; m < rows; m++) store(to + m * PIECE, load_halves(row[m] + k, K - k));
}
// Up to SIDE rows of K numbers as the columns of a right operand; the missing ones are zero.
static void lay_right_turned(Half* to, const T* from, int64_t stride, int rows, int K) {
    for (int k = 0; k < K; k += PIECE, to += RIGHT)
        for (int n = 0; n < 2; n++) {
            V v[LANES];
            for (int u = 0; u < LANES; u++) {
                int row = n * LANES + u;
                v[u] = row < rows ? load_halves(from + row * stride + k, K - k) : V{};
            }
            transpose(v);
            for (int j = 0; j < LANES; j++) store(to + j * PAIR + n * 2 * LANES, v[j]);
        }
}
// K rows of up to SIDE numbers as a right operand.
static void lay_right(Half* to, const T* from, int64_t stride, int K, int columns) {
    for (int k = 0; k < pieces_of(K) * PIECE; k += 2, to += PAIR) {
        V a = k < K ? load_halves(from + k * stride, columns) : V{};
        V b = k + 1 < K ? load_halves(from + (k + 1) * stride, columns) : V{};
        store(to, interleaved<0>(a, b));
        store(to + 2 * LANES, interleaved<LANES>(a, b));
    }
}
#else
struct TileUse { ~TileUse() {} };  // nothing is to be set up
#endif
