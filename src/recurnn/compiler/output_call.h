// The output layer's call: its rows in groups, each group's steps in order.

struct Counted {  // the rows that count
    const Output& o;
    int n;
    int* row;
    const T** h;
};
static void work(void* with, Team& team, int member) {
    const Counted& c = *(Counted*)with;
    int groups = (c.n + c.o.group - 1) / c.o.group;
    TileUse use;
    begin(c.o, team, member);
    for (int k = 0, done = 0; k < groups; k++) {
        Group g = {c.o, c.n / groups + (k < c.n % groups), c.row + done, c.h + done};
        run(g, team, member, done > 0);
        done += g.n;
    }
}

extern "C" void rooms(const Output* o, Rooms* r) { *r = needs(*o); }
extern "C" void output(const Output* o) {
    Counted c = {*o, 0, (int*)malloc(sizeof(int) * o->rows), (const T**)malloc(sizeof(T*) * o->rows)};
    for (int64_t r = 0; r < o->rows; r++) {
        o->loss[r] = 0;
        if (o->target[r] >= 0) {
            c.row[c.n] = r;
            c.h[c.n++] = o->h + r * o->h_stride;
        } else if (o->dh) {
            memset((void*)(o->dh + r * o->H), 0, sizeof(T) * o->H);
        }
    }
    if (o->dweight && !c.n) {  // sums of nothing
        memset((void*)o->dweight, 0, sizeof(T) * o->V * o->H);
        memset((void*)o->dbias, 0, sizeof(T) * o->V);
    }
    in_large_pages(o->logits, sizeof(T) * needs(*o).logits);
    if (o->dweight) in_large_pages(o->dweight, sizeof(T) * o->V * o->H);
    parallel(o->threads, o->pool, work, &c);
    free(c.row);
    free(c.h);
}
