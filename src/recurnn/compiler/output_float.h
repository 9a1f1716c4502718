// The output layer's products, of numbers as wide as their sums.

#ifndef TILES
static Rooms needs(const Output& o) {
    Rooms r = {};
    r.logits = (o.V + WORDS - 1) / WORDS * o.group * STEP;
    r.scaled = o.dweight ? (o.H / PANEL + 1) * o.group * PANEL : 0;
    r.most = o.threads * o.group * LANES;
    r.member = (o.H > WORDS ? o.H : WORDS) * PANEL;
    r.panel = o.threads * r.member;
    return r;
}
static void begin(const Output&, Team&, int) {}

// How much of a panel is used, in vectors.
INLINE int used(int left) { return left >= PANEL ? UNITS : (left + LANES - 1) / LANES; }

// acc[m][n] += Σ_k x[m · ROW + k · NEXT] · panel[k][n], or = where it is the first term.
template <int M, int N, int ROW, int NEXT>
static NOINLINE void tile(V* acc, bool first, int K, const T* x, const T* panel) {
    V sum[M][N];
#pragma GCC unroll 8
    for (int m = 0; m < M; m++)
#pragma GCC unroll 8
        for (int n = 0; n < N; n++) sum[m][n] = first ? V{} : acc[m * N + n];
    for (int k = 0; k < K; k++, panel += PANEL, x += NEXT) {
        V w[N];
#pragma GCC unroll 8
        for (int n = 0; n < UNITS; n++) __builtin_prefetch(panel + AHEAD * PANEL + n * LANES);
#pragma GCC unroll 8
        for (int n = 0; n < N; n++) w[n] = load(panel + n * LANES);
#pragma GCC unroll 8
        for (int m = 0; m < M; m++) {
            V each = broadcast(x[m * ROW]);
#pragma GCC unroll 8
            for (int n = 0; n < N; n++) sum[m][n] = sum[m][n] + each * w[n];
        }
    }
#pragma GCC unroll 8
    for (int m = 0; m < M; m++)
#pragma GCC unroll 8
        for (int n = 0; n < N; n++) acc[m * N + n] = sum[m][n];
}
typedef void (*Tile)(V*, bool, int, const T*, const T*);
template <int ROW, int NEXT, size_t... m>
INLINE Tile tile_of(int M, int N, std::index_sequence<m...>) {
    static const Tile of[][4] = {{tile<m + 1, 1, ROW, NEXT>, tile<m + 1, 2, ROW, NEXT>,
                                  tile<m + 1, 3, ROW, NEXT>, tile<m + 1, 4, ROW, NEXT>}...};
    return of[M - 1][N - 1];
}

// Columns of the logits, panel by panel of the vocabulary, and the greatest of each row.
static void make_logits(const Group& g, int member, int members) {
    const Output& o = g.o;
    const Matrix weight = {o.weight, o.weight_stride, 1};
    const V lowest = broadcast(T(-__builtin_inf()));
    T *panel = o.panel + member * o.member, *most = o.most + member * o.group * LANES;
    for (int i = 0; i < g.n; i++) store(most + i * LANES, lowest);
    int64_t panels = panels_of(o.V, UNITS);
    for (int p = panels * member / members; p < panels * (member + 1) / members; p++) {
        pack(panel, &weight, 1, UNITS, o.V, o.H, 0, p, p + 1);
        int unit = p * PANEL, left = o.V - unit, N = used(left);
        V bias[UNITS];
        for (int n = 0; n < N; n++) {
            int some = left - n * LANES;
            bias[n] = o.bias ? load(o.bias + unit + n * LANES, some) : V{};
            for (int k = some; k < LANES; k++) bias[n][k] = lowest[0];  // no words: exp gives 0
        }
        in_tiles(g.n, TILE, [&](int first, int height) {
            V acc[TILE * UNITS];
            multiply<1, UNITS>(height, N, acc, true, o.H, g.h + first, panel);
            for (int m = 0; m < height; m++) {
                T* to = g.logits(unit / WORDS, first + m) + unit % WORDS;
                V top = load(most + (first + m) * LANES);
                for (int n = 0; n < N; n++) {
                    V logit = acc[m * N + n] + bias[n];
                    store(to + n * LANES, logit);
                    top = maximum(top, logit);
                }
                store(most + (first + m) * LANES, top);
            }
        });
    }
}

// The greatest logit of row i, of what each member has found.
static T top_of(const Group& g, int i, int members) {
    const Output& o = g.o;
    V tops = load(o.most + i * LANES);
    for (int k = 1; k < members; k++) tops = maximum(tops, load(o.most + (k * o.group + i) * LANES));
    T top = tops[0];
    for (int k = 1; k < LANES; k++) top = tops[k] > top || tops[k] != tops[k] ? tops[k] : top;
    return top;
}
// The loss of row i; its logits become e, and f h and f are laid out for dW.
static void lose(const Group& g, int i, int members) {
    const Output& o = g.o;
    int r = g.row[i];
    V all = {};
    T top = top_of(g, i, members), at_target = g.logit(i, o.target[r]);
    for (int block = 0; block * WORDS < o.V; block++) {
        T* row = g.logits(block, i);
        int count = o.V - block * WORDS < WORDS ? o.V - block * WORDS : WORDS;
        for (int v = 0; v < count; v += LANES) {
            V e = exp(load(row + v) - top);
            store(row + v, e);
            all += e;
        }
    }
    T sum = total(all);
    o.loss[r] = ::log((double)sum) + (top - at_target);
    if (!o.scale) return;
    g.logit(i, o.target[r]) -= sum;
    T f = o.scale[r] / sum;
    o.most[i * LANES] = f;  // in the place of what is not needed any more
    for (int p = 0; o.dweight && p * PANEL <= o.H; p++) {
        T* to = g.scaled(p, i);
        for (int n = 0; n < PANEL; n += LANES) {
            int left = o.H - p * PANEL - n;
            store(to + n, left > 0 ? load(g.h[i] + p * PANEL + n, left) * f : V{});
        }
        if (o.H - p * PANEL < PANEL) to[o.H - p * PANEL] = f;  // the bias: a unit that is always 1
    }
}

// dh of some rows; a block of the vocabulary stays near for all of them.
static void make_dh(const Group& g, int from, int to, T* panel) {
    const Output& o = g.o;
    for (int64_t word = 0; word < o.V; word += WORDS) {
        int depth = o.V - word < WORDS ? o.V - word : WORDS;
        const Matrix weight = {o.weight + word * o.weight_stride, 1, o.weight_stride};
        for (int p = 0; p < panels_of(o.H, UNITS); p++) {
            pack(panel, &weight, 1, UNITS, o.H, depth, 0, p, p + 1);
            int left = o.H - p * PANEL, N = used(left);
            in_tiles(to - from, TILE, [&](int first, int height) {
                V acc[TILE * UNITS];
                T* out[TILE];
                for (int m = 0; m < height; m++) {
                    out[m] = o.dh + g.row[from + first + m] * o.H + p * PANEL;
                    for (int n = 0; n < N && word; n++)
                        acc[m * N + n] = load(out[m] + n * LANES, left - n * LANES);
                }
                tile_of<STEP, 1>(height, N, std::make_index_sequence<TILE>())(
                    acc, word == 0, depth, g.logits(word / WORDS, from + first), panel);
                for (int m = 0; m < height; m++)
                    for (int n = 0; n < N; n++)
                        store(out[m] + n * LANES, acc[m * N + n], left - n * LANES);
            });
        }
    }
    for (int i = from; i < to; i++) {
        T *out = o.dh + g.row[i] * o.H, f = o.most[i * LANES];
        for (int u = 0; u < o.H; u += LANES) store(out + u, load(out + u, o.H - u) * f, o.H - u);
    }
}

// dW and db of some words, a part of a block at a time.
static void make_dweight(const Group& g, int64_t word, int64_t end, bool add) {
    const Output& o = g.o;
    for (int64_t stop; word < end; word = stop) {
        stop = (word / WORDS + 1) * WORDS < end ? (word / WORDS + 1) * WORDS : end;
        for (int p = 0; p * PANEL <= o.H; p++) {
            int left = o.H - p * PANEL, N = used(left + 1);
            in_tiles(stop - word, TILE, [&](int first, int height) {
                V acc[TILE * UNITS];
                T* out = o.dweight + (word + first) * o.H + p * PANEL;
                T* bias = left < PANEL ? o.dbias + word + first : 0;
                for (int m = 0; m < height && add; m++) {
                    for (int n = 0; n < N; n++)
                        acc[m * N + n] = left > n * LANES
                            ? load(out + m * o.H + n * LANES, left - n * LANES) : V{};
                    if (bias) acc[m * N + left / LANES][left % LANES] = bias[m];
                }
                tile_of<1, STEP>(height, N, std::make_index_sequence<TILE>())(
                    acc, !add, g.n, &g.logit(0, word + first), g.scaled(p, 0));
                for (int m = 0; m < height; m++) {
                    for (int n = 0; n < N && left > n * LANES; n++)
                        store(out + m * o.H + n * LANES, acc[m * N + n], left - n * LANES);
                    if (bias) bias[m] = acc[m * N + left / LANES][left % LANES];
                }
            });
        }
    }
}
static void run(const Group& g, Team& team, int member, bool add) {
    const Output& o = g.o;
    int64_t of = team.members, from = share(g.n, 1, member, of), to = share(g.n, 1, member + 1, of);
    make_logits(g, member, of);
    team.meet();
    for (int i = from; i < to; i++) lose(g, i, of);
    if (o.dh) make_dh(g, from, to, o.panel + member * o.member);
    team.meet();
    if (!o.dweight) return;
    make_dweight(g, share(o.V, 1, member, of), share(o.V, 1, member + 1, of), add);
    team.meet();
}
#endif
