// What a kernel is told: sizes, strides and places, the same from call to call, and addresses.

#include <stdlib.h>
#include <sys/mman.h>

// Where the bodies find one array: base + (step & wrap) · time + row · row_stride + span ·
// span_stride. A ring has a power of two less one as its wrap, a whole array −1. With shift ≠ 0 it
// is the step before or after the present one: at the end of a row or span `first`, across a reset
// `again`, and zeros where these are not given. One that is `joined` has the step across the end of
// a span. Numbers in place of addresses: see `Call`.
struct Place {
    int64_t array, offset;  // array −1: the scratch; −2: a row of zeros
    int64_t time, row, span, wrap, shift;
    int64_t first, first_row, first_span;
    int64_t again, again_row, joined;
};
struct MatrixPlace { int64_t array, offset, unit_stride, k_stride; };
struct VectorPlace { int64_t array[2], offset[2]; };  // the sum of two, or of one and −1
struct FactorPlace { int64_t stream, offset, width; };
struct SumPlace { int64_t array, offset, stride, copy, copy_offset; };
struct RowSum { int64_t offset, width, array, array_offset, copy, copy_offset; };

// Everything that stays the same from call to call with the same sizes. Arrays that change are
// numbered, and their addresses come with each call.
struct Call {
    int64_t T_, B, spans, whole;  // steps in a span of time, rows, spans of a row, steps in all
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
    int64_t counts;                // the array of counts, int64 [threads, counts], or −1
    int vectors, blocks, factors, row_sums;
    int descending, reverse, threads, may_go_alone, pool, split_units, chunk, outer_depth, wants_x;
    int restarts;  // backward: whether a gradient is wanted of the states that resets start from
    int packed;  // the scratch still holds the weights that an earlier call has laid out in it
    int made;    // the products with the input are given
};

constexpr int MOST_VECTORS = 64;

// What runs as one row: a row of the batch, or the nth span of its time. Steps are counted from the
// span's first; `length` of them are real, and `rest` of the row's from there on.
struct Span { int b, nth, length, rest; };
// A row at one step: where each stream is.
template <int streams, int numbers> struct RowOf : Span {
    T* p[streams];
    T s[numbers ? numbers : 1];  // numbers of the row
    V* sum;                      // sums over units on their way to such numbers, lane by lane
    int64_t* count;              // of the member that has the row
    bool regular;  // not at an end nor at a reset: the next step's addresses are one stride on
};
struct Stream {
    T* base;
    int64_t time, row, span, wrap, shift;
    T *first, *again;
    int64_t first_row, first_span, again_row;
    bool joined;
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
    const int64_t* lengths;  // real steps of each row of the batch; null: all of them
    int *order, *length;     // what runs as a row, longest first; null: all have T steps
    Stream* stream;

    int64_t rows() const { return call.B * call.spans; }
    Span span(int64_t i) const {  // the i-th of the order
        int at = order ? order[i] : (int)i, nth = call.spans == 1 ? 0 : (int)(at / call.B);
        int b = at - nth * (int)call.B;
        int64_t rest = (lengths ? lengths[b] : call.whole) - nth * call.T_;
        return {b, nth, length ? length[i] : (int)call.T_, (int)rest};
    }

    T* at(int64_t array, int64_t offset) const {
        return array == -1 ? scratch + offset : array == -2 ? (T*)zeros
             : address[array] ? (T*)address[array] + offset : 0;
    }
};

// Whether a reset lies between two steps that follow one another. A row that is run backwards
// ends at step 0, where there is nothing to cut.
INLINE bool cut(const Scan& c, const Span& r, int64_t t, int64_t other) {
    if (!c.reset) return false;
    int64_t later = t > other ? t : other, step = r.nth * c.call.T_ + later;
    return step >= c.call.reverse && later < r.rest && c.reset[step * c.call.B + r.b];
}
INLINE T* at_step(const Stream& s, const Span& r, int64_t t) {
    return s.base + (t & s.wrap) * s.time + r.b * s.row + r.nth * s.span;
}
INLINE T* locate_uncut(const Scan& c, const Stream& s, const Span& r, int64_t t) {
    int64_t other = t + s.shift;
    bool inside = s.joined ? other >= -r.nth * c.call.T_ && other < r.rest
                           : other >= 0 && other < r.length;
    if (s.shift == 0 || inside) return at_step(s, r, other);
    return s.first ? s.first + r.b * s.first_row + r.nth * s.first_span : (T*)c.zeros;
}
INLINE T* locate(const Scan& c, const Stream& s, const Span& r, int64_t t) {
    if (s.shift != 0 && cut(c, r, t, t + s.shift))
        return s.again ? s.again + r.b * s.again_row : (T*)c.zeros;
    return locate_uncut(c, s, r, t);
}
struct Cleared { int stream, letter; };
struct Restart { int first, again, letter; };
template <class Row>
INLINE void locate_all(const Scan& c, int streams, Row& r, int64_t t) {
    for (int j = 0; j < streams; j++) r.p[j] = locate(c, c.stream[j], r, t);
}
INLINE bool at_edge(const Scan& c, const Span& r, int64_t t) {
    return t <= 0 || t + 1 >= r.length || cut(c, r, t, t - 1) || cut(c, r, t, t + 1);
}

// Every tile of one group: panels outside, so that a panel is read once for all rows.
template <class G, class Row>
static void panels(const Scan& c, Row* r, int n, int member, int members, Operands operands) {
    int units = c.size[G::letter], all = panels_of(units, G::U);
    int64_t from = (int64_t)all * member / members, to = (int64_t)all * (member + 1) / members;
    for (int p = from; p < to; p++) {
        int left = (units - p * G::U * LANES + LANES - 1) / LANES, N = left < G::U ? left : G::U;
        in_tiles(n, G::M, [&](int first, int M) {
            Operands here = {operands.rounded + first * operands.stride, operands.stride};
            G::tile(c, r + first, M, N, p, here);
        });
    }
}
template <class G, class Row>
static void sweep(const Scan& c, Row* r, int n, int member, int members) {
    if constexpr (PACKED > 1 && G::products > 0) {
        in_tiles(n, ROUNDED, [&](int first, int some) {
            Operands operands = operands_of(some, G::room(c));
            G::round(c, r + first, some, operands);
            panels<G>(c, r + first, some, member, members, operands);
        });
    } else {
        panels<G>(c, r, n, member, members, {});
    }
}

// All units of some rows, where a phase has no products.
template <class G, class Row>
INLINE void whole(const Scan& c, Row* r, int n) {
    G::body(c, r, n, padded(c.size[G::letter]) / LANES, 0);
}
constexpr int FEW = 4;
template <class Row, class F>
INLINE void few_rows(Row* r, int n, F run) {
    in_tiles(n, FEW, [&](int first, int some) { run(r + first, some); });
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

// What runs as a row, longest first; what is of one length, in its order.
static void sort_rows(Scan& c) {
    const Call& call = c.call;
    int64_t n = c.rows(), T_ = call.T_;
    c.order = (int*)malloc(2 * (n + 1) * sizeof(int));
    int* sorted = c.order + n + 1;
    int* begin = (int*)calloc(T_ + 2, sizeof(int));
    auto length = [&](int64_t k) {
        int64_t rest = (c.lengths ? c.lengths[k % call.B] : call.whole) - k / call.B * T_;
        return rest < 0 ? 0 : rest < T_ ? rest : T_;
    };
    for (int64_t k = 0; k < n; k++) begin[T_ - length(k) + 1]++;
    for (int64_t t = 0; t < T_; t++) begin[t + 1] += begin[t];
    for (int64_t k = 0; k < n; k++) {
        int at = begin[T_ - length(k)]++;
        c.order[at] = k;
        sorted[at] = length(k);
    }
    c.length = sorted;
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
        s.stream[j] = {c.at(p.array, p.offset), p.time, p.row, p.span, p.wrap, p.shift,
                       p.first < 0 ? 0 : (T*)c.address[p.first],
                       p.again < 0 ? 0 : (T*)c.address[p.again],
                       p.first_row, p.first_span, p.again_row, (bool)p.joined};
        if (!s.stream[j].base) {  // not given: zeros, which nobody writes to
            s.stream[j].base = (T*)c.zeros;
            s.stream[j].time = s.stream[j].row = s.stream[j].span = 0;
        }
        if (K::fills(j) && p.wrap == -1 && p.array > 0)
            in_large_pages(s.stream[j].base, call.whole * p.time * sizeof(T));
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
    c.lengths = call.length < 0 ? 0 : (const int64_t*)c.address[call.length];
    c.order = c.length = 0;
    if (c.lengths || call.spans > 1) sort_rows(c);
}
