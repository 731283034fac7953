/* Calls a scorer row after row, as a program in C would, and returns the seconds of the whole loop.
 * One call from Python into each function covers all rows, so its cost does not count. */
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* LGBM_BoosterPredictForMatSingleRowFast(config, row, out_length, out) */
typedef int (*lightgbm_fn)(void *, const void *, int64_t *, double *);

double lightgbm_rows(lightgbm_fn score, void *config, const double *rows, size_t n, size_t width,
                     double *out) {
    const double start = now();
    for (size_t i = 0; i < n; i++) {
        int64_t length;
        if (score(config, rows + i * width, &length, out + i) != 0) return NAN;
    }
    return now() - start;
}

/* The function that lleaves compiles: rows, results, first row, end row. */
typedef void (*lleaves_fn)(const double *, double *, int, int);

double lleaves_rows(lleaves_fn score, const double *rows, size_t n, size_t width, double *out) {
    const double start = now();
    for (size_t i = 0; i < n; i++) score(rows + i * width, out + i, 0, 1);
    return now() - start;
}

/* The function that TL2cgen generates reads a union whose `missing` is -1 where there is no value, may
 * overwrite it, and adds to the result. */
union entry {
    int missing;
    double value;
    int code;
};
typedef void (*tl2cgen_fn)(union entry *, int, double *);

double tl2cgen_rows(tl2cgen_fn score, const double *rows, size_t n, size_t width, double *out) {
    union entry *row = malloc(width * sizeof *row);
    if (row == NULL) return NAN;
    const double start = now();
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < width; j++) {
            const double value = rows[i * width + j];
            if (isnan(value)) {
                row[j].missing = -1;
            } else {
                row[j].value = value;
            }
        }
        out[i] = 0.0;
        score(row, 0, out + i);
    }
    const double seconds = now() - start;
    free(row);
    return seconds;
}
