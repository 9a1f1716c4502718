// Threads: one team a call, taken from the pool that torch has already.

#include <dlfcn.h>
#include <pthread.h>
#include <sched.h>
#include <time.h>

// The members of one team; they meet where one needs what another has made. Beside a busy
// neighbour a member may be off its core for longer than its whole part takes: the team notes it,
// and the last to come says so to all at once, so that all draw the same conclusion.
struct Team {
    int members, arrived, round, waited_long, times;
    int late_often;  // as known to every member after a meeting
    void meet() {
        if (members == 1) return;
        int mine = __atomic_load_n(&round, __ATOMIC_ACQUIRE);
        if (__atomic_add_fetch(&arrived, 1, __ATOMIC_ACQ_REL) == members) {
            times += __atomic_exchange_n(&waited_long, 0, __ATOMIC_RELAXED);
            late_often = times > 3;
            __atomic_store_n(&arrived, 0, __ATOMIC_RELAXED);
            __atomic_store_n(&round, mine + 1, __ATOMIC_RELEASE);
            return;
        }
        // Whoever yields beside a busy neighbour is off its core for milliseconds: not at once.
        double began = 0;
        for (int spins = 1; __atomic_load_n(&round, __ATOMIC_ACQUIRE) == mine; spins++) {
            if (spins % 256) continue;
            if (!began) began = now();
            if (now() - began < 200e-6) continue;
            __atomic_store_n(&waited_long, 1, __ATOMIC_RELAXED);
            sched_yield();
        }
    }
    static double now() {
        timespec t;
        clock_gettime(CLOCK_MONOTONIC, &t);
        return t.tv_sec + 1e-9 * t.tv_nsec;
    }
};

// How the thread's processor rounds; and with it, that what is too small for a normal number counts
// as zero, be it an operand or a result.
#if defined(__SSE2__)
typedef unsigned Mode;
static Mode mode() { return _mm_getcsr(); }
static void set_mode(Mode m) { _mm_setcsr(m); }
constexpr Mode NOTHING_TINY = 0x8040;
#else
typedef uint64_t Mode;
#if defined(__aarch64__)
static Mode mode() { Mode m; asm volatile("mrs %0, fpcr" : "=r"(m)); return m; }
static void set_mode(Mode m) { asm volatile("msr fpcr, %0" : : "r"(m)); }
#else
static Mode mode() { return 0; }
static void set_mode(Mode) {}
#endif
constexpr Mode NOTHING_TINY = 1 << 24;
#endif
// For as long as it lives, if at all. A gradient that vanishes over a long sequence ends in numbers
// so small that the processor takes a hundred times as long over each of them.
struct NothingTiny {
    const Mode before = mode();
    explicit NothingTiny(bool wanted) { if (wanted) set_mode(before | NOTHING_TINY); }
    ~NothingTiny() { set_mode(before); }
};

typedef void (*Work)(void* with, Team& team, int member);

struct Crew {  // a team that is being put together
    Team team;
    Work work;
    void* with;
    int ready;
};

// torch's own pool, GNU's OpenMP. Threads of ours beside it would have to share the cores with
// its threads, which go on spinning for a while after each of torch's own operations.
typedef void (*GompParallel)(void (*)(void*), void*, unsigned, unsigned);
typedef int (*GompNumber)();
struct Gomp {
    GompParallel parallel;
    GompNumber number, count;
};
static const Gomp& gomp() {
    static const Gomp found = {(GompParallel)dlsym(RTLD_DEFAULT, "GOMP_parallel"),
                               (GompNumber)dlsym(RTLD_DEFAULT, "omp_get_thread_num"),
                               (GompNumber)dlsym(RTLD_DEFAULT, "omp_get_num_threads")};
    return found;
}
static void in_pool(void* with) {
    Crew& crew = *(Crew*)with;
    // Every member says how many came, which may be fewer than were asked for; none has to wait.
    __atomic_store_n(&crew.team.members, gomp().count(), __ATOMIC_RELAXED);
    crew.work(crew.with, crew.team, gomp().number());
}

// Where there is no such pool, and in a forked child, whose parent's threads did not come along:
// threads that live for one call.
struct Hand {
    Crew* crew;
    int member;
};
static void* start_hand(void* with) {
    Hand& hand = *(Hand*)with;
    while (!__atomic_load_n(&hand.crew->ready, __ATOMIC_ACQUIRE)) sched_yield();
    hand.crew->work(hand.crew->with, hand.crew->team, hand.member);
    return 0;
}
static void with_own_threads(Crew& crew, int n) {
    pthread_t thread[64];
    Hand hand[64];
    int started = 1;
    for (; started < n; started++) {
        hand[started] = {&crew, started};
        if (pthread_create(&thread[started], 0, start_hand, &hand[started])) break;
    }
    crew.team.members = started;
    __atomic_store_n(&crew.ready, 1, __ATOMIC_RELEASE);
    crew.work(crew.with, crew.team, 0);
    for (int k = 1; k < started; k++) pthread_join(thread[k], 0);
}

// work(with, team, 0 … members − 1) on up to n threads at once; 64 at most.
static void parallel(int n, bool pool, Work work, void* with) {
    Crew crew = {{1}, work, with, 0};
    const Gomp& g = gomp();
    if (n <= 1) work(with, crew.team, 0);
    else if (pool && g.parallel && g.number && g.count) g.parallel(in_pool, &crew, n, 0);
    else with_own_threads(crew, n);
}
