/* What the test programs have in common: checks that say where they failed, and a folder to work in. */
#ifndef CHECK_H
#define CHECK_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <containerv_volume.h>

#define CHECK(condition)                                                                  \
    do {                                                                                  \
        if (!(condition)) {                                                               \
            fprintf(stderr, "%s:%d: not so: %s (last error %d: %s)\n", __FILE__, __LINE__, \
                    #condition, (int)containerv_volume_last_error_code(),                 \
                    containerv_volume_last_error());                                      \
            exit(1);                                                                      \
        }                                                                                 \
    } while (0)

/* The call fails with this code and this errno, and says why. Both may come from one macro. */
#define FAILS(call, ...) FAILS_AS(call, __VA_ARGS__)
#define FAILS_AS(call, code, number)                               \
    do {                                                           \
        errno = 0;                                                 \
        CHECK((call) == -1);                                       \
        CHECK(errno == (number));                                  \
        CHECK(containerv_volume_last_error_code() == (code));      \
        CHECK(containerv_volume_last_error()[0] != '\0');          \
    } while (0)

/* The folder that the program may fill, from its command line. */
static inline const char *folder_of(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
        exit(2);
    }
    return argv[1];
}

static inline char *path_in(const char *folder, const char *name)
{
    size_t length = strlen(folder) + strlen(name) + 2;
    char *path = malloc(length);
    if (path == NULL) {
        exit(2);
    }
    snprintf(path, length, "%s/%s", folder, name);
    return path;
}

/* No machine has anything of the store, and the volume "data" is free. */
static inline void nothing_is_left(void)
{
    struct containerv_volume_info info;
    char *json = NULL;

    CHECK(containerv_volume_attachments(NULL, NULL, &json) == 0);
    CHECK(strcmp(json, "[]") == 0);
    containerv_volume_string_free(json);
    CHECK(containerv_volume_inspect("data", &info) == 0 && info.in_use == 0);
    containerv_volume_info_free(&info);
}

#endif
