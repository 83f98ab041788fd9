/* Plays the part of containerv: makes options, a container and its volumes, and ends both.
 *
 *     cc main.c volume-manager.c $(pkg-config --cflags --libs containerv_volume) -o containerv
 *     ./containerv STORE
 */
#include "private.h"

#include <stdio.h>
#include <string.h>

#include <containerv_volume.h>

extern int __windows_volume_options_init(struct containerv_options *options);
extern void __windows_volume_options_cleanup(struct containerv_options *options);

int main(int argc, char **argv)
{
    struct containerv_layer_context layer = {"C:\\projects\\site", "C:\\site", 1, NULL};
    struct containerv_options options = {&layer};
    struct containerv_container container = {"web-1", "web-1", 1, NULL, NULL, NULL};

    if (argc != 2) {
        fprintf(stderr, "usage: %s STORE\n", argv[0]);
        return 2;
    }
#ifndef _WIN32
    /* Volumes lie at paths of this system, and a Windows machine needs those of a Windows host: here a
     * Linux guest shows the same, of directories alone. */
    layer.container_path = "/site";
    container.guest_is_windows = 0;
#endif
    if (containerv_volume_set_root(argv[1]) != 0 || __windows_volume_options_init(&options) != 0) {
        fprintf(stderr, "%s\n", containerv_volume_last_error());
        return 1;
    }
    if (containerv_volume_create("shared", 64, "NTFS") != 0) {
        fprintf(stderr, "%s\n", containerv_volume_last_error());
        return 1;
    }
#ifdef _WIN32
    containerv_options_add_volume(&options, "shared", "C:\\data", "named", "ro");
    containerv_options_add_volume(&options, "scratch", "D:", "vhd",
                                  "size=64M,fs=ntfs,persistent=false");
#endif
    containerv_volume_attach_smb_share(&options, "//nas/media",
                                       container.guest_is_windows ? "C:\\media" : "/media", "eve",
                                       "secret");
    if (__windows_setup_volumes(&container, &options) != 0) {
        return 1;
    }
    printf("storage: %s\nguest: %s\n", container.storage_json, container.guest_json);
    __windows_cleanup_volumes(&container);
    __windows_cleanup_volumes(&container);
    __windows_volume_options_cleanup(&options);
    if (containerv_volume_delete("shared") != 0 || containerv_volume_set_root(NULL) != 0) {
        fprintf(stderr, "%s\n", containerv_volume_last_error());
        return 1;
    }
    if (containerv_volume_outstanding() != 0) {
        fprintf(stderr, "something was not given back\n");
        return 1;
    }
    return 0;
}
