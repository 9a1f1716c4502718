// LSTM, forward:
//     i = σ(W_i x + U_i h + b_i)
//     f = σ(W_f x + U_f h + b_f)
//     g = tanh(W_g x + U_g h + b_g)
//     o = σ(W_o x + U_o h + b_o)
//     c = f ⊙ c + i ⊙ g
//     h = o ⊙ tanh(c)

namespace { namespace forward_kernel {  // unnamed: kernels share a process

enum { x, hoisted, old_h, new_h, last_h, old_c, new_c, last_c, saved, kept };
typedef RowOf<10, 0> Row;

// W_i x, W_f x, W_g x, W_o x
struct Hoisted0_0 {
    static constexpr int A = 4, U = width(4), terms = 1, index = 0, matrices = 0, letter = 1;
    static constexpr int depth[] = {0};
};
struct Hoisted0 {
    static constexpr int letter = 1, U = width(4), M = rows_of(4), products = 1;
    static void body(const Scan& scan, Row* row, int M_, int N, int panel, const V* product0) {
        const int size_H = scan.size[1], room_H = padded(size_H);
        for (int m_ = 0; m_ < M_; m_++) {
            T* const at_hoisted = row[m_].p[hoisted];
            for (int n_ = 0; n_ < N; n_++) {
                const int unit = (panel * U + n_) * LANES, left = size_H - unit;
                V v7 = product0[(m_ * 4 + 0) * N + n_];
                store(at_hoisted + unit, v7);
                V v12 = product0[(m_ * 4 + 1) * N + n_];
                store(at_hoisted + room_H + unit, v12);
                V v17 = product0[(m_ * 4 + 2) * N + n_];
                store(at_hoisted + 2 * room_H + unit, v17);
                V v22 = product0[(m_ * 4 + 3) * N + n_];
                store(at_hoisted + 3 * room_H + unit, v22);
            }
        }
    }
    static int64_t room(const Scan& scan) {
        const int size_I = scan.size[0], size_H = scan.size[1], room_H = padded(size_H);
        return operand_room(size_I);
    }
    static void round(const Scan& scan, const Row* row, int n, Operands factors) {
        const int size_I = scan.size[0], size_H = scan.size[1], room_H = padded(size_H);
        for (int m_ = 0; m_ < n; m_++) {
            pack_operand(factors.row(m_, 0), row[m_].p[x], size_I);
        }
    }
    static void tile(const Scan& scan, Row* row, int M_, int N, int panel, Operands factors) {
        const int size_I = scan.size[0], size_H = scan.size[1], room_H = padded(size_H);
        V product0[M * 4 * U];
        const T* operand[M];
        if (size_I >= DEEP)
            for (int m_ = 0; m_ < M_; m_++)
                for (int n_ = 0; n_ < N; n_++) {
                    const int unit = (panel * U + n_) * LANES;
                    __builtin_prefetch(row[m_].p[hoisted] + unit, 1);
                    __builtin_prefetch(row[m_].p[hoisted] + room_H + unit, 1);
                    __builtin_prefetch(row[m_].p[hoisted] + 2 * room_H + unit, 1);
                    __builtin_prefetch(row[m_].p[hoisted] + 3 * room_H + unit, 1);
                }
        const T* weights0 = panel_of<Hoisted0_0>(scan, panel);
        for (int m_ = 0; m_ < M_; m_++)
            operand[m_] = factors.row(m_, 0, row[m_].p[x]);
        multiply<4, U>(M_, N, product0, true, size_I, operand, weights0);
        body(scan, row, M_, N, panel, product0);
    }
};

// U_i old_h, U_f old_h, U_g old_h, U_o old_h
struct Phase0_H_0 {
    static constexpr int A = 4, U = width(4), terms = 1, index = 1, matrices = 4, letter = 1;
    static constexpr int depth[] = {1};
};
struct Phase0_H {
    static constexpr int letter = 1, U = width(4), M = rows_of(4), products = 1;
    static void body(const Scan& scan, Row* row, int M_, int N, int panel, const V* product0) {
        const int size_H = scan.size[1], room_H = padded(size_H);
        const T* const vector_0 = scan.vector[0];  // b_i
        const T* const vector_1 = scan.vector[1];  // b_f
        const T* const vector_2 = scan.vector[2];  // b_g
        const T* const vector_3 = scan.vector[3];  // b_o
        for (int m_ = 0; m_ < M_; m_++) {
            T* const at_hoisted = row[m_].p[hoisted];
            T* const at_new_h = row[m_].p[new_h];
            T* const at_old_c = row[m_].p[old_c];
            T* const at_new_c = row[m_].p[new_c];
            T* const at_saved = row[m_].p[saved];
            for (int n_ = 0; n_ < N; n_++) {
                const int unit = (panel * U + n_) * LANES, left = size_H - unit;
                V v8 = product0[(m_ * 4 + 0) * N + n_];
                V v13 = product0[(m_ * 4 + 1) * N + n_];
                V v18 = product0[(m_ * 4 + 2) * N + n_];
                V v23 = product0[(m_ * 4 + 3) * N + n_];
                V v7 = load(at_hoisted + unit);
                V v9 = v7 + v8;
                V vector_b_i_ = load(vector_0 + unit);
                V v10 = v9 + vector_b_i_;
                V i = sigmoid(v10);
                store(at_saved + unit, i);
                V v12 = load(at_hoisted + room_H + unit);
                V v14 = v12 + v13;
                V vector_b_f_ = load(vector_1 + unit);
                V v15 = v14 + vector_b_f_;
                V f = sigmoid(v15);
                store(at_saved + room_H + unit, f);
                V v17 = load(at_hoisted + 2 * room_H + unit);
                V v19 = v17 + v18;
                V vector_b_g_ = load(vector_2 + unit);
                V v20 = v19 + vector_b_g_;
                V g = tanh(v20);
                store(at_saved + 2 * room_H + unit, g);
                V v22 = load(at_hoisted + 3 * room_H + unit);
                V v24 = v22 + v23;
                V vector_b_o_ = load(vector_3 + unit);
                V v25 = v24 + vector_b_o_;
                V o = sigmoid(v25);
                store(at_saved + 3 * room_H + unit, o);
                V state_c_ = load(at_old_c + unit, left);
                V v27 = f * state_c_;
                V v28 = i * g;
                V c = v27 + v28;
                store(at_new_c + unit, c, left);
                V v30 = tanh(c);
                V h = o * v30;
                store(at_new_h + unit, h, left);
            }
        }
    }
    static int64_t room(const Scan& scan) {
        const int size_H = scan.size[1], room_H = padded(size_H);
        return operand_room(size_H);
    }
    static void round(const Scan& scan, const Row* row, int n, Operands factors) {
        const int size_H = scan.size[1], room_H = padded(size_H);
        for (int m_ = 0; m_ < n; m_++) {
            pack_operand(factors.row(m_, 0), row[m_].p[old_h], size_H);
        }
    }
    static void tile(const Scan& scan, Row* row, int M_, int N, int panel, Operands factors) {
        const int size_H = scan.size[1], room_H = padded(size_H);
        V product0[M * 4 * U];
        const T* operand[M];
        if (size_H >= DEEP)
            for (int m_ = 0; m_ < M_; m_++)
                for (int n_ = 0; n_ < N; n_++) {
                    const int unit = (panel * U + n_) * LANES;
                    __builtin_prefetch(row[m_].p[hoisted] + unit, 0);
                    __builtin_prefetch(row[m_].p[hoisted] + room_H + unit, 0);
                    __builtin_prefetch(row[m_].p[hoisted] + 2 * room_H + unit, 0);
                    __builtin_prefetch(row[m_].p[hoisted] + 3 * room_H + unit, 0);
                    __builtin_prefetch(row[m_].p[old_c] + unit, 0);
                    __builtin_prefetch(row[m_].p[saved] + unit, 1);
                    __builtin_prefetch(row[m_].p[saved] + room_H + unit, 1);
                    __builtin_prefetch(row[m_].p[saved] + 2 * room_H + unit, 1);
                    __builtin_prefetch(row[m_].p[saved] + 3 * room_H + unit, 1);
                    __builtin_prefetch(row[m_].p[new_c] + unit, 1);
                    __builtin_prefetch(row[m_].p[new_h] + unit, 1);
                }
        const T* weights0 = panel_of<Phase0_H_0>(scan, panel);
        for (int m_ = 0; m_ < M_; m_++)
            operand[m_] = factors.row(m_, 0, row[m_].p[old_h]);
        multiply<4, U>(M_, N, product0, true, size_H, operand, weights0);
        body(scan, row, M_, N, panel, product0);
    }
};

struct Kernel {
    typedef forward_kernel::Row Row;
    static constexpr int streams = 10, sums = 0, counts = 0;
    static constexpr bool hoists = true, backward = false;
    static constexpr Cleared cleared[] = {{new_h, 1}, {new_c, 1}};
    static constexpr int hoist_streams[] = {x, hoisted};
    static constexpr bool fills(int stream) {
        return stream == new_h || stream == new_c || stream == saved;
    }
    static constexpr bool is_highest(int number) {
        return false;
    }
    static void pack(const Scan& scan, int member, int members) {
        pack_group<Hoisted0_0>(scan, member, members);
        pack_group<Phase0_H_0>(scan, member, members);
    }
    static void hoist(const Scan& scan, Row* row, int n, int member, int members) {
        sweep<Hoisted0>(scan, row, n, member, members);
    }
    static void phases(const Scan& scan, Row* row, int n, Team& team, int member) {
        sweep<Phase0_H>(scan, row, n, member, team.members);
        team.meet();
    }
    static void input(const Scan& scan, Row* row, int n, int member, int members) {}
    static void finish(const Scan& scan, Row* row, int n, int member, int members) {
        for (int i = 0; member == 0 && i < n; i++) {
            memcpy(row[i].p[last_h], row[i].p[old_h], scan.size[1] * sizeof(T));
            memcpy(row[i].p[last_c], row[i].p[old_c], scan.size[1] * sizeof(T));
        }
    }
};
} }  // namespace forward_kernel
extern "C" void forward(const Call* c, void* const* address) {
    run<forward_kernel::Kernel>(c, address);
}
