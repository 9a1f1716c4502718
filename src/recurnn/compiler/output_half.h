// The output layer's products, of bfloat16.
//
// Each product is cheap beside writing and reading logits: they are never stored. A block of them
// becomes e = exp(logit − reference) while it is near, is used for dh, and is kept as bfloat16 for
// dW, two rows together: for each word the pair of both, which for dW = Σ e ⊗ f h are pairs of k.
// A row's reference is 0 where its logits cannot be far from it, and else its greatest logit, for
// which the logits are made twice. The target's part of dh needs no product and comes at the end.
//
// Rounded to bfloat16 are h, W, e and f h, each once; what is summed, losses and gradients are not.

#ifdef TILES
constexpr int BLOCKS = WORDS / SIDE;  // of words, that lie together
constexpr T FAR = 60;                 // e of logits up to it, and sums of such, stay normal numbers
enum Number { REFERENCE, AT_TARGET, NUMBERS };  // of a row

// Of a call's arrays `logits` has e of two rows together, `scaled` f h and f as a right operand,
// `most` sums of e by lanes, `panel` a left operand for each thread.
static Rooms needs(const Output& o) {
    const int64_t rows = pieces_of(o.group), units = blocks_of(o.H);
    const int64_t words = (o.V + WORDS - 1) / WORDS, blocks = blocks_of(o.group) + o.threads;
    Rooms r = {};
    r.logits = o.dweight ? words * ((o.group + 1) / 2) * STEP : 0;
    r.scaled = o.dweight ? blocks_of(o.H + 1) * rows * RIGHT / 2 : 0;  // two halves in a T
    r.most = o.group * LANES;
    r.member = (rows > BLOCKS ? rows : BLOCKS) * LEFT / 2;
    r.panel = o.threads * r.member;
    r.h_laid = blocks * units * LEFT / 2;                  // h as a left operand
    r.sums = o.dh ? blocks * units * SIDE * SIDE : 0;      // Σ e W
    r.turned = words * BLOCKS * units * RIGHT / 2;         // W as right operands: k are units,
    r.paired = o.dh ? r.turned : 0;                        // and k are words
    r.numbers = o.group * NUMBERS + 2 * o.threads;
    return r;
}
INLINE Half* turned(const Output& o, int64_t block) {
    return (Half*)o.turned + block * pieces_of(o.H) * RIGHT;
}
INLINE Half* paired(const Output& o, int64_t block, int64_t units) {
    int64_t of = blocks_of(o.H);
    return (Half*)o.paired + ((block / BLOCKS * of + units) * BLOCKS + block % BLOCKS) * RIGHT;
}
INLINE Half* scaled(const Group& g, int64_t block, int64_t pair) {
    return (Half*)g.o.scaled + block * pieces_of(g.n) * RIGHT + pair * PAIR;
}
INLINE T* pair_at(const Group& g, int i, int64_t word) {  // of rows i and i + 1
    return g.o.logits + (word / WORDS * ((g.n + 1) / 2) + i / 2) * STEP + word % WORDS;
}
INLINE Half* panel_of(const Output& o, int member) { return (Half*)(o.panel + member * o.member); }
INLINE T& number(const Group& g, Number which, int i) {
    return g.o.numbers[which * g.o.group + i];
}
INLINE T* extremes(const Output& o, int member) {  // the longest row of W, the greatest |b|
    return o.numbers + NUMBERS * o.group + 2 * member;
}
INLINE int some(int64_t left) { return left < SIDE ? left : SIDE; }  // of a block that are there
INLINE T larger(T a, T b) { return a > b || a != a ? a : b; }        // NaN comes through

static T norm(const T* row, int K) {
    V all = {};
    for (int k = 0; k < K; k += LANES) {
        V x = load(row + k, K - k);
        all += x * x;
    }
    return ::sqrt(total(all));
}
// W both ways as operands.
static void begin(const Output& o, Team& team, int member) {
    int64_t all = blocks_of(o.V);
    T longest = 0, most = 0;
    for (int64_t b = all * member / team.members; b < all * (member + 1) / team.members; b++) {
        const T* from = o.weight + b * SIDE * o.weight_stride;
        int words = some(o.V - b * SIDE);
        lay_right_turned(turned(o, b), from, o.weight_stride, words, o.H);
        for (int64_t u = 0; o.dh && u < blocks_of(o.H); u++)
            lay_right(paired(o, b, u), from + u * SIDE, o.weight_stride, words,
                      some(o.H - u * SIDE));
        for (int w = 0; w < words; w++) {
            longest = larger(longest, norm(from + w * o.weight_stride, o.H));
            most = larger(most, o.bias ? ::fabs(o.bias[b * SIDE + w]) : 0);
        }
    }
    extremes(o, member)[0] = longest;
    extremes(o, member)[1] = most;
    team.meet();
}

// ---------------------------------------------------------------- rows

// Some rows that one member has, the first of them even, and its room; their blocks are its own.
struct Rows {
    const Group& g;
    int from, to, member;
    int64_t tile(int i) const { return from / SIDE + member + (i - from) / SIDE; }
    Half* left(int i) const { return (Half*)g.o.h_laid + tile(i) * pieces_of(g.o.H) * LEFT; }
    T* sums(int i) const { return g.o.sums + tile(i) * blocks_of(g.o.H) * SIDE * SIDE; }
    T* lanes(int i) const { return g.o.most + i * LANES; }
    int count(int i) const { return some(to - i); }  // in the block that begins there
};
struct Biases {
    V of[2];
    Biases(const Output& o, int64_t word) {
        for (int n = 0; n < 2; n++) {
            int left = o.V - word - n * LANES > 0 ? o.V - word - n * LANES : 0;
            of[n] = o.bias ? load(o.bias + word + n * LANES, left) : V{};
            for (int k = left; k < LANES; k++) of[n][k] = -INFINITY;  // no words: exp gives 0
        }
    }
};
// use(i, word, products) for each block of rows i … and words, done(i, word) after each WORDS of
// them, which stay near for all rows.
template <class Use, class Done> INLINE void each_block(const Rows& r, Use use, Done done) {
    const Output& o = r.g.o;
    for (int64_t word = 0; word < o.V; word += WORDS)
        for (int i = r.from; i < r.to; i += SIDE) {
            for (int64_t w = word; w < o.V && w < word + WORDS; w += SIDE) {
                alignas(64) T sum[SIDE * SIDE];
                block_product(sum, true, pieces_of(o.H), r.left(i), turned(o, w / SIDE), r.count(i),
                              SIDE);
                use(i, w, sum);
            }
            done(i, word);
        }
}

// h as an operand, and each row's reference.
static void lay_rows(const Rows& r, int members) {
    const Group& g = r.g;
    const Output& o = g.o;
    T longest = 0, most = 0;
    for (int k = 0; k < members; k++) {
        longest = larger(longest, extremes(o, k)[0]);
        most = larger(most, extremes(o, k)[1]);
    }
    bool far = false;
    for (int i = r.from; i < r.to; i++) {
        if ((i - r.from) % SIDE == 0) lay_left(r.left(i), g.h + i, r.count(i), o.H);
        bool near = norm(g.h[i], o.H) * longest + most <= FAR;
        number(g, REFERENCE, i) = near ? 0 : INFINITY;
        far |= !near;
        store(r.lanes(i), broadcast(T(near ? 0 : -INFINITY)));
    }
    if (!far) return;
    each_block(r, [&](int i, int64_t word, const T* sum) {
        Biases bias(o, word);
        for (int m = 0; m < r.count(i); m++, sum += SIDE)
            if (number(g, REFERENCE, i + m) != 0)
                store(r.lanes(i + m), maximum(load(r.lanes(i + m)), maximum(
                    load(sum) + bias.of[0], load(sum + LANES) + bias.of[1])));
    }, [](int, int64_t) {});
    for (int i = r.from; i < r.to; i++) {
        if (number(g, REFERENCE, i) != 0) number(g, REFERENCE, i) = highest(load(r.lanes(i)));
        store(r.lanes(i), V{});
    }
}

// e of a block of products: added to the sums, a piece of the left operand for dh, and kept for dW.
INLINE void exponentials(const Rows& r, int i, int64_t word, const T* sum, Half* left) {
    const Group& g = r.g;
    const Output& o = g.o;
    const Biases bias(o, word);
    for (int m = 0; m < r.count(i); m += 2) {
        V e[2] = {};
        for (int k = 0; k < 2 && m + k < r.count(i); k++) {
            int row = i + m + k;
            V first = load(sum + (m + k) * SIDE) + bias.of[0];
            V second = load(sum + (m + k) * SIDE + LANES) + bias.of[1];
            int64_t at = o.target[g.row[row]] - word;
            if (at >= 0 && at < SIDE)
                number(g, AT_TARGET, row) = at < LANES ? first[at] : second[at - LANES];
            first = exp(first - number(g, REFERENCE, row));
            second = exp(second - number(g, REFERENCE, row));
            store(r.lanes(row), load(r.lanes(row)) + (first + second));
            e[k] = halves(first, second);
        }
        if (o.dh) {
            store(left + m * PIECE, e[0]);
            store(left + (m + 1) * PIECE, e[1]);
        }
        if (o.dweight) {
            T* to = pair_at(g, i + m, word);
            store(to, interleaved<0>(e[0], e[1]));
            store(to + LANES, interleaved<LANES>(e[0], e[1]));
        }
    }
}
// The sums of e, and Σ e W.
static void make_sums(const Rows& r) {
    const Output& o = r.g.o;
    Half* left = panel_of(o, r.member);
    each_block(r, [&](int i, int64_t word, const T* sum) {
        exponentials(r, i, word, sum, left + word % WORDS / SIDE * LEFT);
    }, [&](int i, int64_t word) {
        int pieces = blocks_of(o.V - word < WORDS ? o.V - word : WORDS);
        for (int64_t u = 0; o.dh && u < blocks_of(o.H); u++)
            block_product(r.sums(i) + u * SIDE * SIDE, word == 0, pieces, left,
                          paired(o, word / SIDE, u), r.count(i), some(o.H - u * SIDE));
    });
}

// f h and f of rows i and i + 1, a pair of k of a right operand.
static void lay_scaled(const Group& g, int i, int count, const T* f) {
    const Output& o = g.o;
    for (int64_t unit = 0; unit <= o.H; unit += SIDE)
        for (int n = 0; n < SIDE; n += LANES) {
            int left = o.H - unit - n;
            V v[2] = {};
            for (int k = 0; k < count; k++) {
                v[k] = left > 0 ? load(g.h[i + k] + unit + n, left) * f[k] : V{};
                if (left >= 0 && left < LANES) v[k][left] = f[k];  // a unit that is always 1
            }
            store(scaled(g, unit / SIDE, i / 2) + 2 * n, in_pairs(v[0], v[1]));
            for (int pair = i / 2 + 1; i + 2 >= g.n && pair < pieces_of(g.n) * PIECE / 2; pair++)
                store(scaled(g, unit / SIDE, pair) + 2 * n, V{});  // no rows
        }
}
// The losses of rows i and i + 1, where there is one, and dh; e at the target becomes e − Σ e.
static void lose(const Rows& r, int i) {
    const Group& g = r.g;
    const Output& o = g.o;
    const int count = i + 1 < g.n ? 2 : 1;
    T f[2] = {};
    for (int k = 0; k < count; k++) {
        const int row = g.row[i + k];
        const T from = number(g, REFERENCE, i + k), target = number(g, AT_TARGET, i + k);
        const T sum = total(load(r.lanes(i + k)));
        o.loss[row] = ::log((double)sum) + (from - target);
        if (!o.scale) continue;
        f[k] = o.scale[row] / sum;
        const T less = exp(broadcast(target - from))[0] - sum;
        if (o.dweight) ((Half*)pair_at(g, i, o.target[row]))[k] = half(less);
        const T* weight = o.weight + o.target[row] * o.weight_stride;
        const T* sums = r.sums(i + k) + (i + k - r.from) % SIDE * SIDE;
        for (int u = 0; o.dh && u < o.H; u += LANES)
            store(o.dh + row * o.H + u,
                  load(sums + u / SIDE * SIDE * SIDE + u % SIDE) * f[k]
                      - after_rounding(load(weight + u, o.H - u)) * o.scale[row], o.H - u);
    }
    if (o.dweight) lay_scaled(g, i, count, f);
}

// ---------------------------------------------------------------- words

// e of up to SIDE words, a left operand whose k are the rows.
static void lay_words(const Group& g, Half* to, int64_t word) {
    for (int i = 0; i < g.n; i += PIECE, to += LEFT)
        for (int n = 0; n < SIDE; n += LANES) {
            V v[LANES];
            for (int u = 0; u < LANES; u++)
                v[u] = i + 2 * u < g.n ? load(pair_at(g, i + 2 * u, word) + n) : V{};
            transpose(v);
            for (int m = 0; m < LANES; m++) store(to + (n + m) * PIECE, v[m]);
        }
}
// dW and db of some words.
static void make_dweight(const Group& g, int64_t word, int64_t end, bool add, int member) {
    const Output& o = g.o;
    Half* left = panel_of(o, member);
    for (; word < end; word += SIDE) {
        int words = some(o.V - word);
        lay_words(g, left, word);
        for (int64_t unit = 0; unit <= o.H; unit += SIDE) {
            alignas(64) T sum[SIDE * SIDE];
            block_product(sum, true, pieces_of(g.n), left, scaled(g, unit / SIDE, 0), words,
                          some(o.H + 1 - unit));
            for (int m = 0; m < words; m++) {
                T* out = o.dweight + (word + m) * o.H + unit;
                for (int n = 0; n < SIDE && unit + n < o.H; n += LANES)
                    add_to(out + n, load(sum + m * SIDE + n), add, o.H - unit - n);
                if (o.H - unit < SIDE) {
                    T* bias = o.dbias + word + m;
                    *bias = sum[m * SIDE + o.H - unit] + (add ? *bias : 0);
                }
            }
        }
    }
}

static void run(const Group& g, Team& team, int member, bool add) {
    const int64_t of = team.members;
    Rows r = {g, (int)share(g.n, 2, member, of), (int)share(g.n, 2, member + 1, of), member};
    lay_rows(r, of);
    make_sums(r);
    for (int i = r.from; i < r.to; i += 2) lose(r, i);
    team.meet();
    if (!g.o.dweight) return;
    make_dweight(g, share(g.o.V, SIDE, member, of), share(g.o.V, SIDE, member + 1, of), add, member);
    team.meet();
}
#endif
