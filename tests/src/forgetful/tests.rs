//! The disk through a real mount: what a loss of power takes, and what it leaves.

use std::fs::{self, File};
use std::io::Write;

use super::*;

/// A disk, or nothing where none can be mounted.
fn disk(folder: &Path) -> Option<ForgetfulDisk> {
    ForgetfulDisk::is_possible().then(|| ForgetfulDisk::mount(folder.to_owned()).unwrap())
}

#[test]
fn programs_see_files_as_on_any_disk_and_only_synced_ones_after_a_loss_of_power() {
    let folder = tempfile::tempdir().unwrap();
    let Some(mut disk) = disk(folder.path()) else { return };
    let at = |name: &str| folder.path().join(name);
    fs::create_dir_all(at("parts/tmp_1")).unwrap();
    let mut kept = File::create(at("parts/tmp_1/data")).unwrap();
    kept.write_all(&vec![7; 300_000]).unwrap();
    kept.sync_data().unwrap();
    fs::rename(at("parts/tmp_1"), at("parts/1")).unwrap();
    File::open(at("parts/1")).unwrap().sync_all().unwrap();
    fs::write(at("parts/1/late"), "not synced").unwrap();
    std::os::unix::fs::symlink("parts/1", at("link")).unwrap();
    assert_eq!(fs::read(at("link/late")).unwrap(), b"not synced");
    assert_eq!(fs::read_dir(at("parts/1")).unwrap().count(), 2);
    drop(kept);
    disk.lose_power(None).unwrap();
    assert_eq!(fs::read(at("parts/1/data")).unwrap(), vec![7; 300_000]);
    assert!(!at("parts/1/late").exists() && fs::symlink_metadata(at("link")).is_err());
    // It goes on as a disk.
    let mut longer = File::options().append(true).open(at("parts/1/data")).unwrap();
    longer.write_all(b"more").unwrap();
    assert_eq!(fs::metadata(at("parts/1/data")).unwrap().len(), 300_004);
}

#[test]
fn a_full_disk_says_so_and_takes_more_when_there_is_room_again() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = disk(folder.path()) else { return };
    disk.leave(100_000);
    let mut file = File::create(folder.path().join("file")).unwrap();
    let error = file.write_all(&vec![1; 1 << 20]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    disk.limit_no_more();
    file.write_all(&vec![1; 1 << 20]).unwrap();
    file.sync_all().unwrap();
}
