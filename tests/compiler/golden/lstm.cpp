// LSTM, forward:
//     i = σ(W_i x + U_i h + b_i)
//     f = σ(W_f x + U_f h + b_f)
//     g = tanh(W_g x + U_g h + b_g)
//     o = σ(W_o x + U_o h + b_o)
//     c = f ⊙ c + i ⊙ g
//     h = o ⊙ tanh(c)

namespace { namespace forward_kernel {  // unnamed: kernels share a process

enum { x, hoisted, old_h, new_h, old_c, new_c, saved, kept };

// W_i x, W_f x, W_g x, W_o x
struct Hoisted0_0 {
    static constexpr int A = 4, U = width(4), terms = 1, index = 0, matrices = 0, letter = 1;
    static constexpr int depth[] = {0};
};
struct Hoisted0 {
    static constexpr int letter = 1, U = width(4), M = rows_of(4);
    static NOINLINE void body(const Call& call, Row* row, int M, int N, int panel, const V* product0) {
        const int size_H = call.size[1], room_H = padded(size_H);
        for (int m_ = 0; m_ < M; m_++)
            for (int n_ = 0; n_ < N; n_++) {
                int unit = (panel * U + n_) * LANES, left = size_H - unit;
                if (left <= 0) break;
                V v7 = product0[(m_ * 4 + 0) * N + n_];
                store(row[m_].p[hoisted] + unit, v7, left);
                V v12 = product0[(m_ * 4 + 1) * N + n_];
                store(row[m_].p[hoisted] + room_H + unit, v12, left);
                V v17 = product0[(m_ * 4 + 2) * N + n_];
                store(row[m_].p[hoisted] + 2 * room_H + unit, v17, left);
                V v22 = product0[(m_ * 4 + 3) * N + n_];
                store(row[m_].p[hoisted] + 3 * room_H + unit, v22, left);
                /*end*/
            }
    }
    template <int M, int N>
    INLINE void tile(const Call& call, Row* row, int panel) {
        const int size_I = call.size[0];
        V product0[M][4 * N] = {};
        {
            const T* weights = panel_of<Hoisted0_0>(call, panel);
            const T* operand[M];
            for (int m_ = 0; m_ < M; m_++) operand[m_] = row[m_].p[x];
            products<M, 4, U, N>(product0, size_I, operand, weights);
            weights += panel_size(size_I, 4, U);
        }
        body(call, row, M, N, panel, &product0[0][0]);
    }
};

// U_i old_h, U_f old_h, U_g old_h, U_o old_h
struct Phase0_H_0 {
    static constexpr int A = 4, U = width(4), terms = 1, index = 1, matrices = 4, letter = 1;
    static constexpr int depth[] = {1};
};
struct Phase0_H {
    static constexpr int letter = 1, U = width(4), M = rows_of(4);
    static NOINLINE void body(const Call& call, Row* row, int M, int N, int panel, const V* product0) {
        const int size_H = call.size[1], room_H = padded(size_H);
        for (int m_ = 0; m_ < M; m_++)
            for (int n_ = 0; n_ < N; n_++) {
                int unit = (panel * U + n_) * LANES, left = size_H - unit;
                if (left <= 0) break;
                V v8 = product0[(m_ * 4 + 0) * N + n_];
                V v13 = product0[(m_ * 4 + 1) * N + n_];
                V v18 = product0[(m_ * 4 + 2) * N + n_];
                V v23 = product0[(m_ * 4 + 3) * N + n_];
                V v9 = load(row[m_].p[hoisted] + unit, left) + v8;
                V v10 = v9 + load(call.vector[0] + unit, left);
                V i = sigmoid(v10);
                store(row[m_].p[saved] + unit, i, left);
                V v14 = load(row[m_].p[hoisted] + room_H + unit, left) + v13;
                V v15 = v14 + load(call.vector[1] + unit, left);
                V f = sigmoid(v15);
                store(row[m_].p[saved] + room_H + unit, f, left);
                V v19 = load(row[m_].p[hoisted] + 2 * room_H + unit, left) + v18;
                V v20 = v19 + load(call.vector[2] + unit, left);
                V g = tanh(v20);
                store(row[m_].p[saved] + 2 * room_H + unit, g, left);
                V v24 = load(row[m_].p[hoisted] + 3 * room_H + unit, left) + v23;
                V v25 = v24 + load(call.vector[3] + unit, left);
                V o = sigmoid(v25);
                store(row[m_].p[saved] + 3 * room_H + unit, o, left);
                V v27 = f * load(row[m_].p[old_c] + unit, left);
                V v28 = i * g;
                V c = v27 + v28;
                store(row[m_].p[new_c] + unit, c, left);
                V v30 = tanh(c);
                V h = o * v30;
                store(row[m_].p[new_h] + unit, h, left);
                /*end*/
            }
    }
    template <int M, int N>
    INLINE void tile(const Call& call, Row* row, int panel) {
        const int size_H = call.size[1];
        V product0[M][4 * N] = {};
        {
            const T* weights = panel_of<Phase0_H_0>(call, panel);
            const T* operand[M];
            for (int m_ = 0; m_ < M; m_++) operand[m_] = row[m_].p[old_h];
            products<M, 4, U, N>(product0, size_H, operand, weights);
            weights += panel_size(size_H, 4, U);
        }
        body(call, row, M, N, panel, &product0[0][0]);
    }
};

struct Kernel {
    static constexpr int streams = 8, scalars = 0, hoisted_streams = 2;
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
