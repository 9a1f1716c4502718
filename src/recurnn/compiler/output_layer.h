// The output layer over a vocabulary: logits, softmax cross-entropy and its gradients.
//
// Some rows at a time, a *group*: their logits are made, become e = exp(logit − most) less its sum at
// the target where they lie, and are used up for the gradients before the next group takes their
// place. With f = dL/dloss / Σ e the gradients are dh = f · e W, dW = Σ e ⊗ f h and db = Σ e f.
//
// Logits lie in blocks of the vocabulary, [block][row][word], so that the products of dW, which run
// over the rows, read them without turning them round.
//
// The products are in output_float.h, or for bfloat16 in output_half.h, and the call in
// output_call.h.

constexpr int UNITS = width(1), TILE = rows_of(1), PANEL = UNITS * LANES;
constexpr int WORDS = 4 * PANEL;      // of the vocabulary in a block
constexpr int STEP = WORDS + LANES;   // from row to row: no power of two, which caches do not like

// How many numbers of T each working array of a call has; `member` of the panel are one thread's.
struct Rooms {
    int64_t logits, scaled, most, panel, h_laid, sums, turned, paired, numbers, member;
};
struct Output {
    int64_t rows, H, V;       // rows of h; sizes
    int64_t group;            // rows at a time
    int64_t threads, pool;
    int64_t h_stride, weight_stride;
    const T *h, *weight;
    const T* bias;
    const int64_t* target;    // [rows], below 0: does not count
    const T* scale;           // [rows], dL/dloss of each; absent: no gradients are wanted
    T* loss;                  // [rows]
    T *dh, *dweight, *dbias;  // each wanted or absent, the last two together
    T *logits, *scaled;       // [blocks][group][STEP]; f h and f, [panels][group][PANEL]
    T *most, *panel;          // for each thread: [group][LANES]; [member]
    T *h_laid, *sums, *turned, *paired, *numbers;  // of bfloat16 only; see there
    int64_t member;
};

struct Group {  // rows at work; those that do not count are not among them
    const Output& o;
    int n;
    const int* row;
    const T* const* h;
    T* logits(int block, int i) const { return o.logits + ((int64_t)block * n + i) * STEP; }
    T* scaled(int panel, int i) const { return o.scaled + ((int64_t)panel * n + i) * PANEL; }
    T& logit(int i, int64_t word) const { return logits(word / WORDS, i)[word % WORDS]; }
};

// Where a member's share of n begins, in steps of `unit`.
INLINE int64_t share(int64_t n, int unit, int64_t member, int64_t members) {
    int64_t from = (n + unit - 1) / unit * member / members * unit;
    return from < n ? from : n;
}
