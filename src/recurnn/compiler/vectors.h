// Vectors of REAL and their functions, on the vector extensions of GCC and Clang: the same text
// makes vectors of 64, 32 or 16 bytes. Where an instruction set says in one instruction what the
// extensions cannot say, it is called by its name, and the portable text stands beside it.
//
// Every function is within 4 units in the last place of the exact value, over the whole range and
// for subnormal numbers too. Infinities, NaN and the sign of zero come out as torch has them.
// Nothing branches.

#include <math.h>
#include <stdint.h>
#include <string.h>

#include <utility>

#ifndef REAL
#define REAL float
#endif

#if defined(__AVX512F__)
#define VECTOR_BYTES 64
#define ACCUMULATORS 24
#elif defined(__AVX__)
#define VECTOR_BYTES 32
#define ACCUMULATORS 12
#else
#define VECTOR_BYTES 16
#define ACCUMULATORS 24
#endif

typedef REAL T;
typedef T V __attribute__((vector_size(VECTOR_BYTES)));
typedef T Loose __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(T)), may_alias));
constexpr int LANES = VECTOR_BYTES / sizeof(T);
constexpr bool DOUBLE = sizeof(T) == 8;
template <bool D> struct Whole { typedef int32_t type; typedef uint32_t bits; };
template <> struct Whole<true> { typedef int64_t type; typedef uint64_t bits; };
typedef Whole<DOUBLE>::type W;
typedef W I __attribute__((vector_size(VECTOR_BYTES)));
typedef Whole<DOUBLE>::bits Bits __attribute__((vector_size(VECTOR_BYTES)));

#define INLINE static inline __attribute__((always_inline))
#define NOINLINE __attribute__((noinline))

// X86(min)(a, b) is _mm512_min_ps(a, b), or what it is called for this width and this type.
#if defined(__SSE2__)
#include <immintrin.h>
#define PASTE_(a, b) a##b
#define PASTE(a, b) PASTE_(a, b)
#define SUFFIX_float _ps
#define SUFFIX_double _pd
#if VECTOR_BYTES == 64
#define X86(name) PASTE(_mm512_##name, PASTE(SUFFIX_, REAL))
#elif VECTOR_BYTES == 32
#define X86(name) PASTE(_mm256_##name, PASTE(SUFFIX_, REAL))
#else
#define X86(name) PASTE(_mm_##name, PASTE(SUFFIX_, REAL))
#endif
#endif

// ---------------------------------------------------------------- vectors

INLINE V broadcast(T a) { return a - V{}; }
INLINE V load(const T* p) { return *(const Loose*)p; }
INLINE void store(T* p, V v) { *(Loose*)p = v; }

// The first n ≥ 0 lanes, and zeros; for arrays that end where their units end. What lies behind
// the end is not touched. A whole vector is stored by an ordinary store all the same: what a
// masked one wrote cannot be read back before it is in the cache.
#if VECTOR_BYTES == 64
INLINE unsigned first_lanes(int n) { return n < LANES ? (1u << n) - 1 : (1u << LANES) - 1; }
INLINE V load(const T* p, int n) { return X86(maskz_loadu)(first_lanes(n), p); }
INLINE void store(T* p, V v, int n) {
    if (__builtin_expect(n >= LANES, 1)) store(p, v);
    else X86(mask_storeu)(p, first_lanes(n), v);
}
#elif VECTOR_BYTES == 32
INLINE __m256i first_lanes(int n) {
    I lane;
    for (int k = 0; k < LANES; k++) lane[k] = k;
    return (__m256i)(lane < (W)n);
}
INLINE V load(const T* p, int n) {
    if (__builtin_expect(n >= LANES, 1)) return load(p);
    return X86(maskload)(p, first_lanes(n));
}
INLINE void store(T* p, V v, int n) {
    if (__builtin_expect(n >= LANES, 1)) store(p, v);
    else X86(maskstore)(p, first_lanes(n), v);
}
#else
INLINE V load(const T* p, int n) {
    if (__builtin_expect(n >= LANES, 1)) return load(p);
    V v = {};
    memcpy(&v, p, n * sizeof(T));
    return v;
}
INLINE void store(T* p, V v, int n) {
    if (__builtin_expect(n >= LANES, 1)) store(p, v);
    else memcpy(p, &v, n * sizeof(T));
}
#endif

// The first n lanes, and zeros.
INLINE V only(V v, int n) {
    if (__builtin_expect(n >= LANES, 1)) return v;
#if VECTOR_BYTES == 64
    return X86(maskz_mov)(first_lanes(n), v);
#else
    for (int k = n; k < LANES; k++) v[k] = 0;
    return v;
#endif
}
// The first n lanes, and −∞.
INLINE V only_or_lowest(V v, int n) {
    for (int k = n; k < LANES; k++) v[k] = -INFINITY;
    return v;
}
// The sum of all lanes, in pairs.
INLINE T total(V v) {
#if VECTOR_BYTES == 64
    return X86(reduce_add)(v);
#else
    T sum[LANES];
    for (int k = 0; k < LANES; k++) sum[k] = v[k];
#pragma GCC unroll 8
    for (int half = LANES / 2; half > 0; half /= 2)
#pragma GCC unroll 8
        for (int k = 0; k < half; k++) sum[k] += sum[k + half];
    return sum[0];
#endif
}

INLINE V where(I mask, V a, V b) { return mask ? a : b; }
// One instruction each. Where either is NaN the result is b: a bound goes first, and NaN passes.
#ifdef X86
INLINE V lesser(V a, V b) { return X86(min)(a, b); }
INLINE V greater(V a, V b) { return X86(max)(a, b); }
#else
INLINE V lesser(V a, V b) { return a < b ? a : b; }
INLINE V greater(V a, V b) { return a > b ? a : b; }
#endif
INLINE V clamp(V x, T low, T high) {
    return greater(broadcast(low), lesser(broadcast(high), x));
}
INLINE V maximum(V a, V b) { return a != a ? a : greater(a, b); }
INLINE V minimum(V a, V b) { return a != a ? a : lesser(a, b); }

// The greatest of all lanes; NaN if one is NaN.
INLINE T highest(V v) {
    V most = v;
    for (int k = 1; k < LANES; k++) most = maximum(most, broadcast(v[k]));
    return most[0];
}

INLINE V sign_bit() { return broadcast(T(-0.0)); }
INLINE V abs(V a) { return (V)((I)a & ~(I)sign_bit()); }
INLINE V with_sign(V a, V sign) { return (V)(((I)a & ~(I)sign_bit()) | ((I)sign & (I)sign_bit())); }
INLINE V sqrt(V a) {
#ifdef X86
    return X86(sqrt)(a);
#else
    for (int k = 0; k < LANES; k++) a[k] = __builtin_sqrt(a[k]);
    return a;
#endif
}

// c0 + c1 r + c2 r² + …
INLINE V polynomial(V r, T c0, T c1) { return r * c1 + c0; }
template <class... C>
INLINE V polynomial(V r, T c0, T c1, C... more) {
    return r * polynomial(r, c1, more...) + c0;
}

constexpr int MANTISSA = DOUBLE ? 52 : 23, BIAS = DOUBLE ? 1023 : 127;
constexpr T LOG2_E = T(1.4426950408889634);
// n times the first part is exact for every exponent n.
constexpr T LN2 = DOUBLE ? T(0.693147180369123816490) : T(0.693145751953125);
constexpr T LN2_REST = DOUBLE ? T(1.90821492927058770002e-10) : T(1.42860677e-6);
// Added to a number, it rounds to a whole one, which then stands in the last bits.
constexpr T ROUND = DOUBLE ? T(6755399441055744.0) : T(12582912.0);

// The largest whole number that is not above a; numbers that have no fraction stay as they are.
INLINE V floor(V a) {
    constexpr T whole = DOUBLE ? T(4503599627370496.0) : T(8388608.0);
    V near = with_sign((abs(a) + whole) - whole, a);
    V below = with_sign(where(near > a, near - 1, near), a);
    return where(abs(a) >= whole, a, below);
}

// 2ⁿ for whole n, as long as it is a normal number: n + bias is shifted into the exponent's place.
INLINE V power_of_two(V n) { return (V)((Bits)(n + (ROUND + BIAS)) << MANTISSA); }
// p 2ⁿ for whole n, which may overflow, or be subnormal. The portable text needs two factors, for
// neither may leave the range of normal numbers.
INLINE V scale(V p, V n) {
#if VECTOR_BYTES == 64
    return X86(scalef)(p, n);
#else
    V half = (n * T(0.5) + ROUND) - ROUND;
    return p * power_of_two(half) * power_of_two(n - half);
#endif
}

// x = n ln 2 + r with |r| ≤ ½ ln 2, and q = exp(r) − 1.
struct Reduced { V n, q; };
INLINE Reduced reduce(V x) {
    V n = (x * LOG2_E + ROUND) - ROUND;
    V r = (x - n * LN2) - n * LN2_REST;
    // Polynomials of least relative error, here and below: 2⁻⁵⁸ and 2⁻²³ of exp(r).
    if constexpr (DOUBLE)
        return {n, r * polynomial(r, 1.0, 0.5000000000000012, 0.16666666666666213,
            0.04166666666651664, 0.008333333333551412, 0.0013888888946696682,
            0.00019841269434394353, 2.4801490250802775e-05, 2.7557627905519557e-06,
            2.7631181086587987e-07, 2.499131792018722e-08)};
    else
        return {n, r * polynomial(r, 0.9999997f, 0.49999145f, 0.1666764f, 0.041898392f,
            0.008290235f)};
}

// The bounds are where the result has long been 0 or infinite.
INLINE V exp(V x) {
    Reduced e = reduce(clamp(x, DOUBLE ? -746 : -104, DOUBLE ? 710 : 89));
    return scale(1 + e.q, e.n);
}

// exp(x) / (1 + exp(x)) loses nothing at either end: from the upper bound on it is 1.
INLINE V sigmoid(V x) {
    Reduced e = reduce(clamp(x, DOUBLE ? -746 : -104, DOUBLE ? 38 : 18));
    V y = scale(1 + e.q, e.n);
    return y / (1 + y);
}

// exp(2y) − 1 for |y| ≤ ¼ ln 2, of least relative error: 2⁻⁵⁵ and 2⁻²⁶.
INLINE V double_minus_one(V y) {
    if constexpr (DOUBLE)
        return y * polynomial(y, 2.0, 2.000000000000002, 1.333333333333327, 0.6666666666652178,
            0.26666666666847855, 0.08888888916348639, 0.025396825239491515, 0.006349185274663062,
            0.0014109392821894569, 0.00028289189196446714, 5.1310140662854786e-05);
    else
        return y * polynomial(y, 2.0f, 1.9999999f, 1.3333235f, 0.6666752f, 0.26773056f,
            0.088848084f);
}

// With 2x = n ln 2 + 2y and e = exp(2x) − 1 = 2ⁿ (exp(2y) − 1) − (1 − 2ⁿ): tanh(x) = e / (e + 2).
// An error of n ln 2 does no more to tanh than to 2x, so ln 2 needs no second part. The difference
// is written the way round in which −0 stays −0.
INLINE V tanh(V x) {
    x = clamp(x, DOUBLE ? -19.1 : -9.02f, DOUBLE ? 19.1 : 9.02f);
    V n = (x * (2 * LOG2_E) + ROUND) - ROUND;
    V power = power_of_two(n);
    V e = power * double_minus_one(x - n * T(0.34657359027997265)) - (1 - power);
    return e / (e + 2);
}

// As in tanh, but with both parts of ln 2, and half the power, for 2¹⁰²⁴ is infinite.
INLINE V expm1(V x) {
    x = clamp(x, DOUBLE ? -40 : -20, DOUBLE ? 710 : 89);
    V n = (x * LOG2_E + ROUND) - ROUND;
    V half = power_of_two(n - 1), r = (x - n * LN2) - n * LN2_REST;
    return 2 * (half * double_minus_one(r * T(0.5)) - (T(0.5) - half));
}

// log(x) + more for a positive normal x = 2ᵏ (1 + f) with 1 + f in [√½, √2), and a small `more`.
// With s = f / (2 + f): log(1 + f) = 2s + s³ P(s²) = f − (½f² − s (½f² + s² P)).
INLINE V log_of_normal(V x, V more) {
    const Bits root = (Bits)broadcast(T(0.70710678118654752440));
    const Bits one = (Bits)broadcast(1), fraction = ((Bits)(I{} + 1) << MANTISSA) - 1;
    Bits bits = (Bits)x + (one - root);
    V k = (V)((bits >> MANTISSA) | (Bits)broadcast(T(2 * ROUND / 3))) - (2 * ROUND / 3 + BIAS);
    V f = (V)((bits & fraction) + root) - 1;
    V s = f / (2 + f), w = s * s, half = T(0.5) * f * f, P;
    if constexpr (DOUBLE)
        P = polynomial(w, 0.6666666666666735, 0.399999999994128, 0.28571428742885296,
            0.22222198514259242, 0.1818356777966165, 0.15313952594979366, 0.14797022154284556);
    else
        P = polynomial(w, 0.66666776f, 0.39977527f, 0.2987228f);
    return k * LN2 - ((half - (s * (half + w * P) + (k * LN2_REST + more))) - f);
}
INLINE V log_ends(V x, V y, V at) {  // at = 0 has −∞, below it is NaN, +∞ stays
    const V infinity = broadcast(T(__builtin_inf()));
    y = at == infinity ? x : y;
    return at > 0 ? y : (at == 0 ? -infinity : broadcast(T(__builtin_nan(""))));
}
INLINE V log(V x) {
    const T least = DOUBLE ? T(0x1p-1022) : T(0x1p-126), up = DOUBLE ? T(0x1p54) : T(0x1p25);
    I subnormal = x < least;
    V y = log_of_normal(subnormal ? x * up : x, V{});
    y -= subnormal ? broadcast(T((DOUBLE ? 54 : 25) * 0.69314718055994530942)) : V{};
    return log_ends(x, y, x);
}
INLINE V log1p(V x) {
    // u + rest = 1 + x exactly, and log(u + rest) = log(u) + rest / u.
    V u = 1 + x, one = u - x, rest = (1 - one) + (x - (u - one));
    V y = log_ends(x, log_of_normal(u, rest / u), u);
    return x == 0 ? x : y;
}

// As torch has it: beyond 20 it is x.
INLINE V softplus(V x) { return x > 20 ? x : log1p(exp(x)); }

// Below 1 an odd polynomial; from there 1 − exp(−a²) Q with a polynomial in (a − c) / (a + c).
INLINE V erf(V x) {
    V a = lesser(broadcast(DOUBLE ? 6 : 4), abs(x)), square = a * a, small, Q;
    if constexpr (DOUBLE) {
        small = polynomial(square, 0.12837916709551256, -0.3761263890318352, 0.11283791670944185,
            -0.026866170643111496, 0.005223977606118874, -0.0008548325929339276,
            0.00012055293577769708, -1.492471232074251e-05, 1.6447131824192975e-06,
            -1.620631584345325e-07, 1.3710989991719915e-08, -7.779487366817371e-10);
        Q = polynomial((a - 3) / (a + 3), 0.17900115118135157, -0.3262335600459979,
            0.24560380166398382, -0.15011593631200182, 0.07166585074076616, -0.024392322438208807,
            0.004270382427991053, 0.0007132708418988127, -0.0005808871403563283,
            7.666879524793625e-05, 0.00010316139351185816, 1.5272821196740293e-05);
    } else {
        small = polynomial(square, 0.12837912f, -0.37612325f, 0.112801805f, -0.026711315f,
            0.0049175546f, -0.00056314346f);
        Q = polynomial((a - 2) / (a + 2), 0.25539613f, -0.4271875f, 0.24146271f, -0.080816284f,
            -0.002491767f);
    }
    return a < 1 ? x + x * small : with_sign(1 - exp(-square) * Q, x);
}

// LANES vectors become their transpose: each round interleaves the first half with the second.
#if defined(__has_builtin)
#if __has_builtin(__builtin_shufflevector)
#define HAS_SHUFFLE 1
#endif
#endif
#ifdef HAS_SHUFFLE
template <size_t... k> INLINE V low(V a, V b, std::index_sequence<k...>) {
    return __builtin_shufflevector(a, b, (int)(k % 2 ? LANES + k / 2 : k / 2)...);
}
template <size_t... k> INLINE V high(V a, V b, std::index_sequence<k...>) {
    return __builtin_shufflevector(a, b, (int)(LANES / 2 + (k % 2 ? LANES + k / 2 : k / 2))...);
}
INLINE void transpose(V* v) {
    constexpr auto lanes = std::make_index_sequence<LANES>();
    for (int round = 1; round < LANES; round *= 2) {
        V w[LANES];
#pragma GCC unroll 16
        for (int k = 0; k < LANES / 2; k++) {
            w[2 * k] = low(v[k], v[k + LANES / 2], lanes);
            w[2 * k + 1] = high(v[k], v[k + LANES / 2], lanes);
        }
#pragma GCC unroll 16
        for (int k = 0; k < LANES; k++) v[k] = w[k];
    }
}
#else
INLINE void transpose(V* v) {
    for (int i = 0; i < LANES; i++)
        for (int k = 0; k < i; k++) { T a = v[i][k]; v[i][k] = v[k][i]; v[k][i] = a; }
}
#endif
