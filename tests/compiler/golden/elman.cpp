// Elman, forward:
//     h = φ(W x + U h + b)

namespace { namespace forward_kernel {  // unnamed: kernels share a process

enum { x, hoisted, old_h, new_h, last_h, saved, kept };
typedef RowOf<7, 0> Row;

// W x
struct Hoisted0_0 {
    static constexpr int A = 1, U = width(1), terms = 1, index = 0, matrices = 0, letter = 1;
    static constexpr int depth[] = {0};
};
struct Hoisted0 {
    static constexpr int letter = 1, U = width(1), M = rows_of(1), products = 1;
    static void body(const Scan& scan, Row* row, int M_, int N, int panel, const V* product0) {
        const int size_H = scan.size[1];
        for (int m_ = 0; m_ < M_; m_++) {
            T* const at_hoisted = row[m_].p[hoisted];
            for (int n_ = 0; n_ < N; n_++) {
                const int unit = (panel * U + n_) * LANES, left = size_H - unit;
                V v3 = product0[(m_ * 1 + 0) * N + n_];
                store(at_hoisted + unit, v3);
            }
        }
    }
    static int64_t room(const Scan& scan) {
        const int size_I = scan.size[0];
        return operand_room(size_I);
    }
    static void round(const Scan& scan, const Row* row, int n, Operands factors) {
        const int size_I = scan.size[0];
        for (int m_ = 0; m_ < n; m_++) {
            pack_operand(factors.row(m_, 0), row[m_].p[x], size_I);
        }
    }
    static void tile(const Scan& scan, Row* row, int M_, int N, int panel, Operands factors) {
        const int size_I = scan.size[0];
        V product0[M * 1 * U];
        const T* operand[M];
        if (size_I >= DEEP)
            for (int m_ = 0; m_ < M_; m_++)
                for (int n_ = 0; n_ < N; n_++) {
                    const int unit = (panel * U + n_) * LANES;
                    __builtin_prefetch(row[m_].p[hoisted] + unit, 1);
                }
        const T* weights0 = panel_of<Hoisted0_0>(scan, panel);
        for (int m_ = 0; m_ < M_; m_++)
            operand[m_] = factors.row(m_, 0, row[m_].p[x]);
        multiply<1, U>(M_, N, product0, true, size_I, operand, weights0);
        body(scan, row, M_, N, panel, product0);
    }
};

// U old_h
struct Phase0_H_0 {
    static constexpr int A = 1, U = width(1), terms = 1, index = 1, matrices = 1, letter = 1;
    static constexpr int depth[] = {1};
};
struct Phase0_H {
    static constexpr int letter = 1, U = width(1), M = rows_of(1), products = 1;
    static void body(const Scan& scan, Row* row, int M_, int N, int panel, const V* product0) {
        const int size_H = scan.size[1];
        const T* const vector_0 = scan.vector[0];  // b
        for (int m_ = 0; m_ < M_; m_++) {
            T* const at_hoisted = row[m_].p[hoisted];
            T* const at_new_h = row[m_].p[new_h];
            for (int n_ = 0; n_ < N; n_++) {
                const int unit = (panel * U + n_) * LANES, left = size_H - unit;
                V v4 = product0[(m_ * 1 + 0) * N + n_];
                V v3 = load(at_hoisted + unit);
                V v5 = v3 + v4;
                V vector_b_ = load(vector_0 + unit);
                V v6 = v5 + vector_b_;
                V h = tanh(v6);
                store(at_new_h + unit, h, left);
            }
        }
    }
    static int64_t room(const Scan& scan) {
        const int size_H = scan.size[1];
        return operand_room(size_H);
    }
    static void round(const Scan& scan, const Row* row, int n, Operands factors) {
        const int size_H = scan.size[1];
        for (int m_ = 0; m_ < n; m_++) {
            pack_operand(factors.row(m_, 0), row[m_].p[old_h], size_H);
        }
    }
    static void tile(const Scan& scan, Row* row, int M_, int N, int panel, Operands factors) {
        const int size_H = scan.size[1];
        V product0[M * 1 * U];
        const T* operand[M];
        if (size_H >= DEEP)
            for (int m_ = 0; m_ < M_; m_++)
                for (int n_ = 0; n_ < N; n_++) {
                    const int unit = (panel * U + n_) * LANES;
                    __builtin_prefetch(row[m_].p[hoisted] + unit, 0);
                    __builtin_prefetch(row[m_].p[new_h] + unit, 1);
                }
        const T* weights0 = panel_of<Phase0_H_0>(scan, panel);
        for (int m_ = 0; m_ < M_; m_++)
            operand[m_] = factors.row(m_, 0, row[m_].p[old_h]);
        multiply<1, U>(M_, N, product0, true, size_H, operand, weights0);
        body(scan, row, M_, N, panel, product0);
    }
};

struct Kernel {
    typedef forward_kernel::Row Row;
    static constexpr int streams = 7, sums = 0, counts = 0;
    static constexpr bool hoists = true, backward = false;
    static constexpr Cleared cleared[] = {{new_h, 1}};
    static constexpr int hoist_streams[] = {x, hoisted};
    static constexpr bool fills(int stream) {
        return stream == new_h || stream == saved;
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
        }
    }
};
} }  // namespace forward_kernel
extern "C" void forward(const Call* c, void* const* address) {
    run<forward_kernel::Kernel>(c, address);
}

// Elman, backward:
//     h = φ(W x + U h + b)

namespace { namespace backward_kernel {  // unnamed: kernels share a process

enum { old_h, new_h, carry_h, seed_h, first_h, again_h, x, dx, saved, dz, past, operands, kept, sums };
typedef RowOf<14, 0> Row;

// Uᵀ past
struct Phase0_H_0 {
    static constexpr int A = 1, U = width(1), terms = 1, index = 0, matrices = 0, letter = 1;
    static constexpr int depth[] = {1};
};
struct Phase0_H {
    static constexpr int letter = 1, U = width(1), M = rows_of(1), products = 1;
    static void body(const Scan& scan, Row* row, int M_, int N, int panel, const V* product0) {
        const int size_H = scan.size[1];
        for (int m_ = 0; m_ < M_; m_++) {
            T* const at_new_h = row[m_].p[new_h];
            T* const at_carry_h = row[m_].p[carry_h];
            T* const at_seed_h = row[m_].p[seed_h];
            T* const at_dz = row[m_].p[dz];
            for (int n_ = 0; n_ < N; n_++) {
                const int unit = (panel * U + n_) * LANES, left = size_H - unit;
                V v9 = product0[(m_ * 1 + 0) * N + n_];
                V carry_h_ = load(at_carry_h + unit, left);
                V v10 = carry_h_ + v9;
                V seed_h_ = load(at_seed_h + unit, left);
                V v12 = seed_h_ + v10;
                V h = load(at_new_h + unit, left);
                V v13 = h * h;
                V v15 = broadcast(T(1.0)) - v13;
                V v16 = v12 * v15;
                store(at_dz + unit, v16);
            }
        }
    }
    static int64_t room(const Scan& scan) {
        const int size_H = scan.size[1];
        return operand_room(size_H);
    }
    static void round(const Scan& scan, const Row* row, int n, Operands factors) {
        const int size_H = scan.size[1];
        for (int m_ = 0; m_ < n; m_++) {
            pack_operand(factors.row(m_, 0), row[m_].p[past], size_H);
        }
    }
    static void tile(const Scan& scan, Row* row, int M_, int N, int panel, Operands factors) {
        const int size_H = scan.size[1];
        V product0[M * 1 * U];
        const T* operand[M];
        if (size_H >= DEEP)
            for (int m_ = 0; m_ < M_; m_++)
                for (int n_ = 0; n_ < N; n_++) {
                    const int unit = (panel * U + n_) * LANES;
                    __builtin_prefetch(row[m_].p[carry_h] + unit, 0);
                    __builtin_prefetch(row[m_].p[seed_h] + unit, 0);
                    __builtin_prefetch(row[m_].p[new_h] + unit, 0);
                    __builtin_prefetch(row[m_].p[dz] + unit, 1);
                }
        const T* weights0 = panel_of<Phase0_H_0>(scan, panel);
        for (int m_ = 0; m_ < M_; m_++)
            operand[m_] = factors.row(m_, 0, row[m_].p[past]);
        multiply<1, U>(M_, N, product0, true, size_H, operand, weights0);
        body(scan, row, M_, N, panel, product0);
    }
};

// Uᵀ past
struct Finish_h_0 {
    static constexpr int A = 1, U = width(1), terms = 1, index = 1, matrices = 1, letter = 1;
    static constexpr int depth[] = {1};
};
struct Finish_h {
    static constexpr int letter = 1, U = width(1), M = rows_of(1), products = 1;
    static void body(const Scan& scan, Row* row, int M_, int N, int panel, const V* product0) {
        const int size_H = scan.size[1];
        for (int m_ = 0; m_ < M_; m_++) {
            T* const at_carry_h = row[m_].p[carry_h];
            T* const at_first_h = row[m_].p[first_h];
            for (int n_ = 0; n_ < N; n_++) {
                const int unit = (panel * U + n_) * LANES, left = size_H - unit;
                V v9 = product0[(m_ * 1 + 0) * N + n_];
                V carry_h_ = load(at_carry_h + unit, left);
                V v10 = carry_h_ + v9;
                store(at_first_h + unit, v10, left);
            }
        }
    }
    static int64_t room(const Scan& scan) {
        const int size_H = scan.size[1];
        return operand_room(size_H);
    }
    static void round(const Scan& scan, const Row* row, int n, Operands factors) {
        const int size_H = scan.size[1];
        for (int m_ = 0; m_ < n; m_++) {
            pack_operand(factors.row(m_, 0), row[m_].p[past], size_H);
        }
    }
    static void tile(const Scan& scan, Row* row, int M_, int N, int panel, Operands factors) {
        const int size_H = scan.size[1];
        V product0[M * 1 * U];
        const T* operand[M];
        if (size_H >= DEEP)
            for (int m_ = 0; m_ < M_; m_++)
                for (int n_ = 0; n_ < N; n_++) {
                    const int unit = (panel * U + n_) * LANES;
                    __builtin_prefetch(row[m_].p[carry_h] + unit, 0);
                    __builtin_prefetch(row[m_].p[first_h] + unit, 1);
                }
        const T* weights0 = panel_of<Finish_h_0>(scan, panel);
        for (int m_ = 0; m_ < M_; m_++)
            operand[m_] = factors.row(m_, 0, row[m_].p[past]);
        multiply<1, U>(M_, N, product0, true, size_H, operand, weights0);
        body(scan, row, M_, N, panel, product0);
    }
};

// Wᵀ dz
struct Input_0 {
    static constexpr int A = 1, U = width(1), terms = 1, index = 2, matrices = 2, letter = 0;
    static constexpr int depth[] = {1};
};
struct Input {
    static constexpr int letter = 0, U = width(1), M = rows_of(1), products = 1;
    static void body(const Scan& scan, Row* row, int M_, int N, int panel, const V* product0) {
        const int size_I = scan.size[0];
        for (int m_ = 0; m_ < M_; m_++) {
            T* const at_dx = row[m_].p[dx];
            for (int n_ = 0; n_ < N; n_++) {
                const int unit = (panel * U + n_) * LANES, left = size_I - unit;
                V v17 = product0[(m_ * 1 + 0) * N + n_];
                store(at_dx + unit, v17, left);
            }
        }
    }
    static int64_t room(const Scan& scan) {
        const int size_H = scan.size[1];
        return operand_room(size_H);
    }
    static void round(const Scan& scan, const Row* row, int n, Operands factors) {
        const int size_H = scan.size[1];
        for (int m_ = 0; m_ < n; m_++) {
            pack_operand(factors.row(m_, 0), row[m_].p[dz], size_H);
        }
    }
    static void tile(const Scan& scan, Row* row, int M_, int N, int panel, Operands factors) {
        const int size_H = scan.size[1];
        V product0[M * 1 * U];
        const T* operand[M];
        if (size_H >= DEEP)
            for (int m_ = 0; m_ < M_; m_++)
                for (int n_ = 0; n_ < N; n_++) {
                    const int unit = (panel * U + n_) * LANES;
                    __builtin_prefetch(row[m_].p[dx] + unit, 1);
                }
        const T* weights0 = panel_of<Input_0>(scan, panel);
        for (int m_ = 0; m_ < M_; m_++)
            operand[m_] = factors.row(m_, 0, row[m_].p[dz]);
        multiply<1, U>(M_, N, product0, true, size_H, operand, weights0);
        body(scan, row, M_, N, panel, product0);
    }
};

struct Kernel {
    typedef backward_kernel::Row Row;
    static constexpr int streams = 14, sums = 0, counts = 0;
    static constexpr bool hoists = false, backward = true;
    static constexpr Cleared cleared[] = {{dx, 0}};
    static constexpr int dz = backward_kernel::dz, input_streams[] = {dx, dz};
    static constexpr Restart restarts[] = {{first_h, again_h, 1}};
    static constexpr bool fills(int stream) {
        return stream == dx;
    }
    static constexpr bool is_highest(int number) {
        return false;
    }
    static void pack(const Scan& scan, int member, int members) {
        pack_group<Phase0_H_0>(scan, member, members);
        pack_group<Finish_h_0>(scan, member, members);
        if (scan.call.wants_x)
            pack_group<Input_0>(scan, member, members);
    }
    static void hoist(const Scan& scan, Row* row, int n, int member, int members) {}
    static void phases(const Scan& scan, Row* row, int n, Team& team, int member) {
        sweep<Phase0_H>(scan, row, n, member, team.members);
        team.meet();
    }
    static void input(const Scan& scan, Row* row, int n, int member, int members) {
        sweep<Input>(scan, row, n, member, members);
    }
    static void finish(const Scan& scan, Row* row, int n, int member, int members) {
        sweep<Finish_h>(scan, row, n, member, members);
    }
};
} }  // namespace backward_kernel
extern "C" void backward(const Call* c, void* const* address) {
    run<backward_kernel::Kernel>(c, address);
}
