/* Many threads at once: on one store, on the same handles, and on handles that others close. */
#ifdef _WIN32
#include <windows.h>
#else
#include <pthread.h>
#endif

#include "check.h"

#define THREADS 16
#define ROUNDS 5

struct work {
    int number;
    struct containerv_volume_manager *manager;
    struct containerv_options *options;
    /* One list, which every thread reads. */
    struct containerv_volume_info *shared;
    int failed;
};

/* Not CHECK: the thread that waits tells what went wrong. */
#define MUST(condition)                                                          \
    do {                                                                         \
        if (!(condition)) {                                                      \
            fprintf(stderr, "%s:%d: not so in a thread: %s (%s)\n", __FILE__,    \
                    __LINE__, #condition, containerv_volume_last_error());       \
            work->failed = 1;                                                    \
            return;                                                              \
        }                                                                        \
    } while (0)

static void run(struct work *work)
{
    char name[32], target[32], wrong[64];
    struct containerv_volume_info info;
    struct containerv_volume_info *list;
    char *json;
    int round, count;

    snprintf(name, sizeof name, "volume-%d", work->number);
    snprintf(wrong, sizeof wrong, "absent-%d", work->number);
    for (round = 0; round < ROUNDS; round++) {
        MUST(containerv_volume_create_in(work->manager, name, "size=16M") == 0);
        MUST(containerv_volume_inspect_in(work->manager, name, &info) == 0);
        MUST(strcmp(info.name, name) == 0);
        containerv_volume_info_free(&info);
        /* The error is this thread's, whatever the others do. */
        MUST(containerv_volume_inspect_in(work->manager, wrong, &info) == -1);
        MUST(strstr(containerv_volume_last_error(), wrong) != NULL);
        MUST(containerv_volume_list_in(work->manager, NULL, &list, &count) == 0);
        MUST(strcmp(work->shared[0].name, "shared") == 0);
        MUST(count >= 2 && count <= THREADS + 1);
        containerv_volume_list_free(list);
        snprintf(target, sizeof target, "/t/%d-%d", work->number, round);
        containerv_options_add_volume(work->options, "C:\\shared", target, "bind", "create");
        MUST(containerv_volume_last_error_code() == CV_VOLUME_OK);
        MUST(containerv_volume_plan(work->options, CV_GUEST_LINUX, "steps", &json) == 0);
        MUST(strstr(json, target) != NULL);
        containerv_volume_string_free(json);
        MUST(containerv_volume_delete_in(work->manager, name, 0) == 0);
    }
}

/* Closes handles that others open at the same time, and gives back what others gave back. */
static void close_and_open(struct work *work)
{
    int round;

    for (round = 0; round < 1000; round++) {
        struct containerv_options *own = containerv_volume_options_new(work->manager);
        MUST(own != NULL);
        MUST(containerv_volume_options_delete(own) == 0);
        MUST(containerv_volume_options_delete(own) == -1);
        MUST(containerv_volume_last_error_code() == CV_VOLUME_BAD_HANDLE);
    }
}

#ifdef _WIN32
typedef HANDLE thread_t;
static DWORD WINAPI start(void *work)
{
    run(work);
    close_and_open(work);
    return 0;
}
static thread_t spawn(struct work *work)
{
    return CreateThread(NULL, 0, start, work, 0, NULL);
}
static void join(thread_t thread)
{
    WaitForSingleObject(thread, INFINITE);
    CloseHandle(thread);
}
#else
typedef pthread_t thread_t;
static void *start(void *work)
{
    run(work);
    close_and_open(work);
    return NULL;
}
static thread_t spawn(struct work *work)
{
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, start, work) == 0);
    return thread;
}
static void join(thread_t thread)
{
    CHECK(pthread_join(thread, NULL) == 0);
}
#endif

int main(int argc, char **argv)
{
    struct containerv_volume_manager *manager =
        containerv_volume_manager_open(folder_of(argc, argv));
    struct containerv_options *options = containerv_volume_options_new(manager);
    struct work work[THREADS];
    struct containerv_volume_info *shared;
    thread_t threads[THREADS];
    int number, count, failed = 0;

    CHECK(manager != NULL && options != NULL);
    CHECK(containerv_volume_create_in(manager, "shared", "size=16M") == 0);
    CHECK(containerv_volume_list_in(manager, NULL, &shared, &count) == 0 && count == 1);
    for (number = 0; number < THREADS; number++) {
        work[number].number = number;
        work[number].manager = manager;
        work[number].options = options;
        work[number].shared = shared;
        work[number].failed = 0;
        threads[number] = spawn(&work[number]);
    }
    for (number = 0; number < THREADS; number++) {
        join(threads[number]);
        failed |= work[number].failed;
    }
    CHECK(!failed);
    containerv_volume_list_free(shared);
    CHECK(containerv_volume_options_delete(options) == 0);
    CHECK(containerv_volume_manager_close(manager) == 0);
    CHECK(containerv_volume_outstanding() == 0);
    puts("threads: ok");
    return 0;
}
