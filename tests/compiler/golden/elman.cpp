// Elman, forward:
//     h = φ(W x + U h + b)

namespace { namespace forward_kernel {  // unnamed: kernels share a process

enum { x, hoisted, old_h, new_h, saved, kept };

// W x
struct Hoisted0_0 {
    static constexpr int A = 1, U = width(1), terms = 1, index = 0, matrices = 0, letter = 1;
    static constexpr int depth[] = {0};
};
struct Hoisted0 {
    static constexpr int letter = 1, U = width(1), M = rows_of(1);
    static NOINLINE void body(const Call& call, Row* row, int M, int N, int panel, const V* product0) {
        const int size_H = call.size[1];
        for (int m_ = 0; m_ < M; m_++)
            for (int n_ = 0; n_ < N; n_++) {
                int unit = (panel * U + n_) * LANES, left = size_H - unit;
                if (left <= 0) break;
                V v3 = product0[(m_ * 1 + 0) * N + n_];
                store(row[m_].p[hoisted] + unit, v3, left);
                /*end*/
            }
    }
    template <int M, int N>
    INLINE void tile(const Call& call, Row* row, int panel) {
        const int size_I = call.size[0];
        V product0[M][1 * N] = {};
        {
            const T* weights = panel_of<Hoisted0_0>(call, panel);
            const T* operand[M];
            for (int m_ = 0; m_ < M; m_++) operand[m_] = row[m_].p[x];
            products<M, 1, U, N>(product0, size_I, operand, weights);
            weights += panel_size(size_I, 1, U);
        }
        body(call, row, M, N, panel, &product0[0][0]);
    }
};

// U old_h
struct Phase0_H_0 {
    static constexpr int A = 1, U = width(1), terms = 1, index = 1, matrices = 1, letter = 1;
    static constexpr int depth[] = {1};
};
struct Phase0_H {
    static constexpr int letter = 1, U = width(1), M = rows_of(1);
    static NOINLINE void body(const Call& call, Row* row, int M, int N, int panel, const V* product0) {
        const int size_H = call.size[1];
        for (int m_ = 0; m_ < M; m_++)
            for (int n_ = 0; n_ < N; n_++) {
                int unit = (panel * U + n_) * LANES, left = size_H - unit;
                if (left <= 0) break;
                V v4 = product0[(m_ * 1 + 0) * N + n_];
                V v5 = load(row[m_].p[hoisted] + unit, left) + v4;
                V v6 = v5 + load(call.vector[0] + unit, left);
                V h = tanh(v6);
                store(row[m_].p[new_h] + unit, h, left);
                /*end*/
            }
    }
    template <int M, int N>
    INLINE void tile(const Call& call, Row* row, int panel) {
        const int size_H = call.size[1];
        V product0[M][1 * N] = {};
        {
            const T* weights = panel_of<Phase0_H_0>(call, panel);
            const T* operand[M];
            for (int m_ = 0; m_ < M; m_++) operand[m_] = row[m_].p[old_h];
            products<M, 1, U, N>(product0, size_H, operand, weights);
            weights += panel_size(size_H, 1, U);
        }
        body(call, row, M, N, panel, &product0[0][0]);
    }
};

struct Kernel {
    static constexpr int streams = 6, scalars = 0, hoisted_streams = 2;
    static constexpr bool hoists = true, finishes = false;
    static_assert(streams <= MOST_STREAMS && scalars <= MOST_SCALARS);
    static void pack(const Call& call) {
        pack_group<Hoisted0_0>(call);
        pack_group<Phase0_H_0>(call);
    }
    static void hoist(const Call& call, Row* row, int n, int member, int members) {
        sweep<Hoisted0>(call, row, n, member, members);
    }
    static void phases(const Call& call, Row* row, int n, Team& team, int member) {
        sweep<Phase0_H>(call, row, n, member, team.members);
        team.meet();
    }
    static void finish(const Call& call, Row* row, int n, int member, int members) {
    }
};
} }  // namespace forward_kernel
extern "C" void forward(const Call* c) { run<forward_kernel::Kernel>(c); }

// Elman, backward:
//     h = φ(W x + U h + b)

namespace { namespace backward_kernel {  // unnamed: kernels share a process

enum { old_h, new_h, carry_h, seed_h, first_h, saved, dz, past, operands, kept, sums };

// Uᵀ past
struct Phase0_H_0 {
    static constexpr int A = 1, U = width(1), terms = 1, index = 0, matrices = 0, letter = 1;
    static constexpr int depth[] = {1};
};
struct Phase0_H {
    static constexpr int letter = 1, U = width(1), M = rows_of(1);
    static NOINLINE void body(const Call& call, Row* row, int M, int N, int panel, const V* product0) {
        const int size_H = call.size[1];
        for (int m_ = 0; m_ < M; m_++)
            for (int n_ = 0; n_ < N; n_++) {
                int unit = (panel * U + n_) * LANES, left = size_H - unit;
                if (left <= 0) break;
                V v9 = product0[(m_ * 1 + 0) * N + n_];
                V v10 = load(row[m_].p[carry_h] + unit, left) + v9;
                V v12 = load(row[m_].p[seed_h] + unit, left) + v10;
                V v13 = load(row[m_].p[new_h] + unit, left) * load(row[m_].p[new_h] + unit, left);
                V v15 = broadcast(T(1.0)) - v13;
                V v16 = v12 * v15;
                store(row[m_].p[dz] + unit, v16, left);
                store(row[m_].p[sums] + unit, load(row[m_].p[sums] + unit) + v16);
                /*end*/
            }
    }
    template <int M, int N>
    INLINE void tile(const Call& call, Row* row, int panel) {
        const int size_H = call.size[1];
        V product0[M][1 * N] = {};
        {
            const T* weights = panel_of<Phase0_H_0>(call, panel);
            const T* operand[M];
            for (int m_ = 0; m_ < M; m_++) operand[m_] = row[m_].p[past];
            products<M, 1, U, N>(product0, size_H, operand, weights);
            weights += panel_size(size_H, 1, U);
        }
        body(call, row, M, N, panel, &product0[0][0]);
    }
};

// Uᵀ past
struct Finish_h_0 {
    static constexpr int A = 1, U = width(1), terms = 1, index = 1, matrices = 1, letter = 1;
    static constexpr int depth[] = {1};
};
struct Finish_h {
    static constexpr int letter = 1, U = width(1), M = rows_of(1);
    static NOINLINE void body(const Call& call, Row* row, int M, int N, int panel, const V* product0) {
        const int size_H = call.size[1];
        for (int m_ = 0; m_ < M; m_++)
            for (int n_ = 0; n_ < N; n_++) {
                int unit = (panel * U + n_) * LANES, left = size_H - unit;
                if (left <= 0) break;
                V v9 = product0[(m_ * 1 + 0) * N + n_];
                V carry = load(row[m_].p[carry_h] + unit, left);
                store(row[m_].p[first_h] + unit, carry + v9, left);
            }
    }
    template <int M, int N>
    INLINE void tile(const Call& call, Row* row, int panel) {
        const int size_H = call.size[1];
        V product0[M][1 * N] = {};
        {
            const T* weights = panel_of<Finish_h_0>(call, panel);
            const T* operand[M];
            for (int m_ = 0; m_ < M; m_++) operand[m_] = row[m_].p[past];
            products<M, 1, U, N>(product0, size_H, operand, weights);
            weights += panel_size(size_H, 1, U);
        }
        body(call, row, M, N, panel, &product0[0][0]);
    }
};

struct Kernel {
    static constexpr int streams = 11, scalars = 0, hoisted_streams = 2;
    static constexpr bool hoists = false, finishes = true;
    static_assert(streams <= MOST_STREAMS && scalars <= MOST_SCALARS);
    static void pack(const Call& call) {
        pack_group<Phase0_H_0>(call);
        pack_group<Finish_h_0>(call);
    }
    static void hoist(const Call& call, Row* row, int n, int member, int members) {
    }
    static void phases(const Call& call, Row* row, int n, Team& team, int member) {
        sweep<Phase0_H>(call, row, n, member, team.members);
        team.meet();
    }
    static void finish(const Call& call, Row* row, int n, int member, int members) {
        sweep<Finish_h>(call, row, n, member, members);
    }
};
} }  // namespace backward_kernel
extern "C" void backward(const Call* c) { run<backward_kernel::Kernel>(c); }
