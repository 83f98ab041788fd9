#!/bin/sh
# The first process of the tests' guest: runs the job that QEMU hands over and ends the machine. What
# the job prints goes to the port `report`, what it complains of to the console.
export PATH=/bin LC_ALL=C
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmp /tmp
exec > /dev/console 2>&1
echo /bin/modprobe > /proc/sys/kernel/modprobe
modprobe qemu_fw_cfg
mkdir -p /dev/virtio-ports
for port in /sys/class/virtio-ports/*; do
    ln -s "/dev/${port##*/}" "/dev/virtio-ports/$(cat "$port/name")"
done
cp /sys/firmware/qemu_fw_cfg/by_name/opt/cvol/job/raw /tmp/job
sh /tmp/job > /dev/virtio-ports/report
echo "guest: the job ended with $?"
sync
poweroff -f
