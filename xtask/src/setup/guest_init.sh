#!/bin/sh
# The first process of the guest. With a job from QEMU, it runs that and ends the machine: what the
# job prints goes to the port `report`, what it complains of to the console. Without one it becomes
# the agent of cvol, which comes in an archive of its own behind this one.
export PATH=/bin LC_ALL=C
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmp /tmp
exec > /dev/console 2>&1
echo /bin/modprobe > /proc/sys/kernel/modprobe
modprobe qemu_fw_cfg
job=/sys/firmware/qemu_fw_cfg/by_name/opt/cvol/job/raw
if [ ! -e $job ] && [ -x /sbin/cvol-guest-agent ]; then
    exec /sbin/cvol-guest-agent --init
fi
mkdir -p /dev/virtio-ports
for port in /sys/class/virtio-ports/*; do
    ln -s "/dev/${port##*/}" "/dev/virtio-ports/$(cat "$port/name")"
done
cp $job /tmp/job
sh /tmp/job > /dev/virtio-ports/report
echo "guest: the job ended with $?"
sync
poweroff -f
