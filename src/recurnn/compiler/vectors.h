// Vectors of the processor's width and their functions, one text for every width.

#include <math.h>
#include <stdint.h>
#include <string.h>

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
template <bool D> struct Whole { typedef int32_t type; };
template <> struct Whole<true> { typedef int64_t type; };
typedef Whole<DOUBLE>::type W;
typedef W I __attribute__((vector_size(VECTOR_BYTES)));

#define INLINE static inline __attribute__((always_inline))
#define NOINLINE __attribute__((noinline))

INLINE V broadcast(T a) { return a - V{}; }
INLINE V load(const T* p) { return *(const Loose*)p; }
INLINE void store(T* p, V v) { *(Loose*)p = v; }
// The first n lanes; for arrays that end where their units end.
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
INLINE T total(V v, int n) {
    T sum = 0;
    for (int k = 0; k < LANES; k++) sum += k < n ? v[k] : 0;
    return sum;
}
INLINE V where(I mask, V a, V b) { return mask ? a : b; }
INLINE V maximum(V a, V b) { return a != a ? a : (a > b ? a : b); }
INLINE V minimum(V a, V b) { return a != a ? a : (a < b ? a : b); }
INLINE V abs(V a) { return a > 0 ? a : 0 - a; }
INLINE V sqrt(V a) {
    for (int k = 0; k < LANES; k++) a[k] = __builtin_sqrt(a[k]);
    return a;
}
INLINE V log(V a) {
    for (int k = 0; k < LANES; k++) a[k] = DOUBLE ? ::log(a[k]) : ::logf(a[k]);
    return a;
}

// exp(x) − 1 = 2ⁿ p + (2ⁿ − 1) with x = n ln 2 + r and p = exp(r) − 1 from its series. Both ends
// of n are cut where the result has long been −1 or infinite.
INLINE V power_of_two(I n) {
    constexpr int bias = DOUBLE ? 1023 : 127, shift = DOUBLE ? 52 : 23;
    return (V)((n + bias) << shift);
}
struct Reduced { I n; V r, p; };
INLINE Reduced reduce(V x) {
    const V magic = broadcast(DOUBLE ? T(6755399441055744.0) : T(12582912.0));
    V n = (x * T(1.4426950408889634)) + magic;
    n = n - magic;
    V r = x - n * (DOUBLE ? T(0.693147180369123816490) : T(0.693145751953125));
    r = r - n * (DOUBLE ? T(1.90821492927058770002e-10) : T(1.42860677e-6));
    V p;
    if (DOUBLE) {
        p = broadcast(T(1.0 / 6227020800.0));
        const double series[] = {1 / 479001600.0, 1 / 39916800.0, 1 / 3628800.0, 1 / 362880.0,
            1 / 40320.0, 1 / 5040.0, 1 / 720.0, 1 / 120.0, 1 / 24.0, 1 / 6.0, 1 / 2.0};
        for (int k = 0; k < 11; k++) p = p * r + T(series[k]);
    } else {
        p = broadcast(T(1.0 / 5040.0));
        const float series[] = {1 / 720.0f, 1 / 120.0f, 1 / 24.0f, 1 / 6.0f, 1 / 2.0f};
        for (int k = 0; k < 5; k++) p = p * r + T(series[k]);
    }
    return {__builtin_convertvector(n, I), r, r + r * r * p};
}
INLINE V exp(V x) {
    const T top = DOUBLE ? 710 : 89, bottom = DOUBLE ? -746 : -104;
    V cut = x > top ? broadcast(top) : x;
    cut = cut < bottom ? broadcast(bottom) : cut;
    Reduced e = reduce(cut);
    I half = e.n >> 1;  // two factors, so that neither leaves the exponent's range
    V y = (1 + e.p) * power_of_two(half) * power_of_two(e.n - half);
    return x != x ? x : y;
}
INLINE V expm1(V x) {  // for x in [0, 50], which is all that tanh needs
    Reduced e = reduce(x);
    V scale = power_of_two(e.n);
    return scale * e.p + (scale - 1);
}
INLINE V sigmoid(V x) {
    V e = exp(x < 0 ? x : 0 - x);
    V y = (x < 0 ? e : broadcast(1)) / (1 + e);
    return x != x ? x : y;
}
INLINE V tanh(V x) {
    V a = abs(x);
    V e = expm1(2 * (a > 22 ? broadcast(22) : a));
    V y = e / (e + 2);
    y = x < 0 ? 0 - y : y;
    return (x != x) | (x == 0) ? x : y;
}

