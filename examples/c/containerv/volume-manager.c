/* The body of containerv's volume-manager.c, by this library: the functions that containerv calls, with
 * the types that it has.
 *
 * What containerv did itself, and what becomes of it:
 *
 *   __windows_setup_volumes      the volumes that are missing are made, the plan of all mounts goes into
 *                                the document of the compute system before it is made
 *   __windows_cleanup_volumes    what was made for the container alone is removed
 *   containerv_volume_create     a volume with a file system in it, in a store that lists it
 *
 * The options of containerv stay its own: they are adopted, and never looked into by the library. So
 * containerv_options_add_volume(options, ...), containerv_volume_attach_smb_share(options, ...) and the
 * others can be called on them from the moment they are adopted.
 */
#include "private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <containerv_volume.h>

static void complain(const char *container, const char *what)
{
    fprintf(stderr, "containerv[windows]: %s: cannot %s: %s\n", container, what,
            containerv_volume_last_error());
}

static char *copy(const char *text)
{
    char *own = malloc(strlen(text) + 1);
    if (own != NULL) {
        strcpy(own, text);
    }
    return own;
}

/* To be called by containerv_options_new. */
int __windows_volume_options_init(struct containerv_options *options)
{
    return containerv_volume_options_adopt(options, NULL);
}

/* To be called by containerv_options_delete. */
void __windows_volume_options_cleanup(struct containerv_options *options)
{
    containerv_volume_options_delete(options);
}

static int add_layers(struct containerv_options *options,
                      const struct containerv_layer_context *layers)
{
    const struct containerv_layer_context *layer;

    for (layer = layers; layer != NULL; layer = layer->next) {
        containerv_options_add_volume(options, layer->host_path, layer->container_path, "bind",
                                      layer->readonly ? "ro,create" : "create");
    }
    /* Errors of the functions that return nothing were kept until now. */
    return containerv_volume_options_check(options);
}

int __windows_setup_volumes(struct containerv_container *container,
                            const struct containerv_options *options)
{
    /* The library takes the address for a name. */
    struct containerv_options *known = (struct containerv_options *)options;
    enum containerv_guest guest =
        container->guest_is_windows ? CV_GUEST_WINDOWS : CV_GUEST_LINUX;
    char *storage = NULL;
    char *guest_script = NULL;

    if (add_layers(known, options->layers) != 0) {
        complain(container->id, "understand its volumes");
        return -1;
    }
    if (containerv_volume_prepare(known) != 0) {
        complain(container->id, "make its volumes");
        containerv_volume_release(known);
        return -1;
    }
    container->volume_options = known;
    /* A document of schema 1, as containerv makes: MappedDirectories and MappedVirtualDisks. */
    if (containerv_volume_plan(known, guest, "hcs-1", &storage) != 0) {
        complain(container->id, "plan its volumes");
        __windows_cleanup_volumes(container);
        return -1;
    }
    container->storage_json = copy(storage);
    containerv_volume_string_free(storage);
    if (containerv_volume_guest_script(known, guest, &guest_script) != 0) {
        complain(container->id, "tell the guest of its volumes");
        __windows_cleanup_volumes(container);
        return -1;
    }
    container->guest_json = copy(guest_script);
    containerv_volume_string_free(guest_script);
    if (container->storage_json == NULL || container->guest_json == NULL) {
        __windows_cleanup_volumes(container);
        errno = ENOMEM;
        return -1;
    }
    return 0;
}

/* To be called when the compute system is gone, and again as often as one likes. */
void __windows_cleanup_volumes(struct containerv_container *container)
{
    if (container == NULL || container->volume_options == NULL) {
        return;
    }
    if (containerv_volume_release(container->volume_options) != 0) {
        complain(container->id, "remove what was made for it");
    }
    container->volume_options = NULL;
    free(container->storage_json);
    free(container->guest_json);
    container->storage_json = NULL;
    container->guest_json = NULL;
}

int containerv_volume_create(const char *name, uint64_t size_mb, const char *filesystem)
{
    return containerv_volume_create_fs(name, size_mb, filesystem);
}
