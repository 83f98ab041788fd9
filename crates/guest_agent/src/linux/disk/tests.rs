//! Trees like those of the kernel, for disks that this machine does not have.

use super::*;

struct Kernel(tempfile::TempDir);

impl Kernel {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, path: &str, content: &[u8]) {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn host(&self, number: u64, driver: &str) {
        let path = format!("sys/class/scsi_host/host{number}/proc_name");
        self.write(&path, driver.as_bytes());
    }

    fn disk(&self, host: u64, lun: u8, name: &str, serial: &str) {
        let device = format!("sys/class/scsi_device/{host}:0:0:{lun}/device");
        self.write(&format!("{device}/block/{name}/x"), b"");
        let length = u8::try_from(serial.len()).unwrap();
        let page = [&[0, 0x80, 0, length], serial.as_bytes()].concat();
        self.write(&format!("{device}/vpd_pg80"), &page);
        self.write(&format!("sys/class/block/{name}/size"), b"2048\n");
        self.write(&format!("dev/{name}"), b"");
    }

    fn partition(&self, disk: &str, number: u32) {
        let name = format!("{disk}{number}");
        let inside = format!("sys/class/block/{disk}/{name}/partition");
        self.write(&inside, format!("{number}\n").as_bytes());
        self.write(&format!("sys/class/block/{name}/size"), b"1024\n");
    }

    fn devices(&self) -> Devices {
        Devices::new(&self.0.path().join("sys"), &self.0.path().join("dev"))
    }

    fn find(&self, controller: u8, lun: u8, serial: &str) -> Result<String, String> {
        let at = Address { controller, lun };
        let found = self.devices().wait(at, serial, Duration::ZERO);
        found.map(|disk| disk.name).map_err(|refusal| refusal.text)
    }
}

#[test]
fn controllers_of_virtio_count_alone_and_in_order() {
    let kernel = Kernel::new();
    for (number, driver) in [(0, "ahci\n"), (2, "virtio_scsi\n"), (10, "virtio_scsi\n")] {
        kernel.host(number, driver);
    }
    kernel.disk(2, 5, "sdb", "VOL-1");
    kernel.disk(10, 0, "sda", "VOL-2");
    assert_eq!(kernel.find(0, 5, "VOL-1").unwrap(), "sdb");
    assert_eq!(kernel.find(1, 0, "VOL-2").unwrap(), "sda");
    assert!(
        kernel
            .find(2, 0, "VOL-2")
            .unwrap_err()
            .contains("no such controller")
    );
    assert!(
        kernel
            .find(0, 6, "VOL-1")
            .unwrap_err()
            .contains("nothing is there")
    );
}

#[test]
fn another_disk_at_the_place_is_not_taken_for_the_one_asked_for() {
    let kernel = Kernel::new();
    kernel.host(0, "virtio_scsi\n");
    kernel.disk(0, 1, "sda", "VOL-OLD ");
    let error = kernel.find(0, 1, "VOL-NEW").unwrap_err();
    assert!(error.contains("calls itself \"VOL-OLD\""), "{error}");
    assert_eq!(kernel.find(0, 1, "").unwrap(), "sda");
}

#[test]
fn controllers_of_hyper_v_are_known_by_their_identifiers() {
    let kernel = Kernel::new();
    for (id, host) in HYPER_V.iter().zip([7, 5, 6, 4]) {
        kernel.write(&format!("sys/bus/vmbus/devices/{id}/host{host}/x"), b"");
    }
    kernel.disk(4, 63, "sdz", "what Hyper-V calls it");
    assert_eq!(kernel.find(3, 63, "VOL-1").unwrap(), "sdz");
    assert!(
        kernel
            .find(4, 0, "VOL-1")
            .unwrap_err()
            .contains("no controller 4")
    );
}

#[test]
fn parts_of_a_disk_come_in_the_order_of_their_numbers() {
    let kernel = Kernel::new();
    for number in [10, 2, 1] {
        kernel.partition("sda", number);
    }
    let names: Vec<_> = kernel
        .devices()
        .partitions("sda")
        .into_iter()
        .map(|p| p.name)
        .collect();
    assert_eq!(names, ["sda1", "sda2", "sda10"]);
}

#[test]
fn pages_that_lie_about_their_length_are_read_as_far_as_they_go() {
    let kernel = Kernel::new();
    kernel.write("d/vpd_pg80", &[0, 0x80, 0, 200, b'A', b'B']);
    assert_eq!(serial_of(&kernel.0.path().join("d")), "AB");
    kernel.write("d/vpd_pg80", &[0, 0x80]);
    assert_eq!(serial_of(&kernel.0.path().join("d")), "");
}
