// The loop over time, the same for every cell. What differs from cell to cell, the body of each
// phase, is generated and follows this text in one translation unit.

// The rows of one member: `first`, `first + stride`, … of the order.
template <class K>
struct Rows {
    typedef typename K::Row Row;
    const Scan& c;
    int n;
    Row *row, *many;  // at the present step; at every step of a chunk
    V* sum;
    int64_t count[K::counts + 1];
    Rows(const Scan& c, int first, int stride, int n) : c(c), n(n), count() {
        row = (Row*)malloc(sizeof(Row) * (n + 1));
        many = (Row*)malloc(sizeof(Row) * ((int64_t)n * c.call.chunk + 1));
        sum = (V*)aligned_alloc(sizeof(V), sizeof(V) * ((int64_t)n * K::sums + 1));
        for (int i = 0; i < n; i++) {
            (Span&)row[i] = c.span(first + i * stride);
            row[i].regular = false;
            row[i].sum = sum + i * K::sums;
            row[i].count = count;
        }
    }
    ~Rows() { free(row); free(many); free(sum); }
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
                    many[count].p[j] = locate(c, c.stream[j], row[i], t);
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
            bool edge = at_edge(c, r, t);
            if (edge || !r.regular) locate_all(c, K::streams, r, t);
            else for (int j = 0; j < K::streams; j++) r.p[j] += on[j];
            r.regular = !edge;
            for (int j = 0; j < K::sums; j++) r.sum[j] = K::is_highest(j) ? broadcast(-INFINITY) : V{};
        }
        return end;
    }
    // The rows in which a sequence begins with step t of a backward pass, in one list: at the step
    // that would be run next, as if nothing were cut.
    int begun(int64_t t) {
        int64_t next = c.call.descending ? t - 1 : t + 1;
        int count = 0;
        for (int i = 0, end = active(t); i < end; i++) {
            if (!cut(c, row[i], t, next)) continue;
            (Span&)many[count] = row[i];
            for (int j = 0; j < K::streams; j++)
                many[count].p[j] = locate_uncut(c, c.stream[j], row[i], next);
            count++;
        }
        return count;
    }
};

// Steps past a row's length: zeros in what is given at every step.
template <class K>
static void clear_padding(const Scan& c, const typename K::Row* row, int n) {
    for (int i = 0; i < n; i++) {
        int64_t left = c.call.whole - row[i].nth * c.call.T_;
        for (int64_t t = row[i].length; t < c.call.T_ && t < left; t++)
            for (const auto& which : K::cleared) {
                const Stream& s = c.stream[which.stream];
                if (s.wrap == -1 && s.time)
                    memset(at_step(s, row[i], t), 0, c.size[which.letter] * sizeof(T));
            }
    }
}

// The gradients of the states that sequences begin with at resets. `finish` leaves each row's
// where that of its first state comes to lie in the end, and it is added up from there.
template <class K>
static void add_restarts(const Scan& c, typename K::Row* row, int n, Team& team, int member) {
    if (!n) return;
    K::finish(c, row, n, member, team.members);
    team.meet();
    for (int i = 0; member == 0 && i < n; i++)
        for (const auto& which : K::restarts) {
            T *sum = row[i].p[which.again], *term = row[i].p[which.first];
            for (int k = 0; k < c.size[which.letter]; k++) sum[k] += term[k];
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
        rows = (const T**)malloc((1 + call.factors) * c.rows() * call.chunk * sizeof(T*) + 1);
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
        int64_t most = c.rows() * call.chunk;
        int count = 0;
        for (int64_t k = k0; k < k1; k++) {
            int64_t t = call.descending ? call.T_ - 1 - k : k;
            for (int64_t i = 0; i < c.rows(); i++) {
                Span r = c.span(i);
                if (r.length <= t) break;
                rows[count] = locate(c, c.stream[K::dz], r, t);
                for (int f = 0; f < call.factors; f++) {
                    const FactorPlace& p = call.factor[f];
                    if (p.width) rows[(1 + f) * most + count] =
                        locate(c, c.stream[p.stream], r, t) + p.offset;
                }
                count++;
            }
        }
        if (!count && k1 < call.T_) return;
        for (int f = 0; f < call.factors; f++)
            factor[f] = {rows + (1 + f) * most, (int)call.factor[f].width};
        int64_t room = (int64_t)call.outer_depth * OUTER_WIDTH;
        outer({rows, call.columns, factor, sum, count, call.blocks, call.factors,
               call.outer_depth, begun},
              member, members, c.scratch + call.outer_at + member * room);
        begun = true;
    }
};
static void row_sums(const Scan& c) {
    for (int k = 0; k < c.call.row_sums; k++) {
        const RowSum& p = c.call.row_sum[k];
        T *out = c.at(p.array, p.array_offset), *copy = p.copy < 0 ? 0 : c.at(p.copy, p.copy_offset);
        for (int j = 0; out && j < p.width; j++) {
            T total_ = 0;
            for (int64_t i = 0; i < c.rows(); i++)
                total_ += c.scratch[c.call.sums_at + i * c.call.sums_room / c.rows() + p.offset + j];
            out[j] = total_;
            if (copy) copy[j] = total_;
        }
    }
}

template <class K>
static void work(void* with, Team& team, int member) {
    NothingTiny gradients(K::backward);
    TileUse tiles;
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
    int part = units ? member : 0, parts = units ? members : 1, all = (int)c.rows();
    int from = (int64_t)all * member / members, to = (int64_t)all * (member + 1) / members;
    Rows<K> rows = units      ? Rows<K>(c, 0, 1, all)
                   : c.length ? Rows<K>(c, member, members, (all - member + members - 1) / members)
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
            if (!idle && !call.made) K::hoist(c, rows.many, rows.list(k0, k1, K::hoist_streams), part, parts);
            if (!idle) together->meet();
            go_alone_if_late();
        }
        for (int64_t k = k0; k < k1 && !idle; k++) {
            int n = rows.move(rows.step(k));
            K::phases(c, rows.row, n, *together, part);
            if constexpr (K::backward)
                if (call.restarts)
                    add_restarts<K>(c, rows.many, rows.begun(rows.step(k)), *together, part);
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
        if constexpr (K::counts)
            memcpy((int64_t*)c.address[call.counts] + member * K::counts, rows.count,
                   K::counts * sizeof(int64_t));
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

// With what each span of a linear recurrence begins, one after another: h = end + through · h. Where
// a span is cut nothing comes through, not even NaN; and of zero nothing does, even where the
// product of all a is too large a number.
extern "C" void link(const int64_t* size, int descending, void* const* array) {
    const int64_t spans = size[0], B = size[1], n = size[2];
    const T *first = (T*)array[0], *end = (T*)array[1], *through = (T*)array[2];
    const uint8_t* cuts = (uint8_t*)array[3];
    T* begin = (T*)array[4];
    for (int64_t nth = 0; nth < spans; nth++) {
        int64_t k = descending ? spans - 1 - nth : nth, before = descending ? k + 1 : k - 1;
        for (int64_t b = 0; b < B; b++)
            for (int64_t j = 0, at = b * n; j < n; j++, at++) {
                T h = first ? first[at] : 0;
                if (nth) {
                    int64_t old = before * B * n + at;
                    bool none = begin[old] == 0 || (cuts && cuts[before * B + b]);
                    h = none ? end[old] : end[old] + through[old] * begin[old];
                }
                begin[k * B * n + at] = h;
            }
    }
}

extern "C" int lanes() { return LANES; }
extern "C" int outer_width() { return OUTER_WIDTH; }
extern "C" int packed() { return PACKED; }
