//! The image without a mount: bytes, names, and what is forgotten of them.

use std::ffi::OsStr;

use rand::SeedableRng;
use rand::rngs::StdRng;

use super::*;

const NOW: i64 = 1;
const OWNER: (u16, u32, u32) = (0o644, 0, 0);

/// What a program does with files of the root folder.
enum Step {
    Create(&'static str),
    Write(&'static str, &'static str),
    Append(&'static str, &'static str),
    Cut(&'static str, u64),
    Sync(&'static str),
    SyncFolder,
    Rename(&'static str, &'static str),
    Exchange(&'static str, &'static str),
    Link(&'static str, &'static str),
    Unlink(&'static str),
    Mkdir(&'static str),
    Rmdir(&'static str),
}
use Step::*;

fn does(image: &mut Image, step: &Step) {
    let at = |image: &Image, name: &str| image.find(ROOT, OsStr::new(name)).unwrap();
    match *step {
        Create(name) => {
            let body = Body::File(Pages::default());
            image.make((ROOT, OsStr::new(name)), body, OWNER, NOW).unwrap();
        }
        Mkdir(name) => {
            let body = Body::Folder(BTreeMap::new());
            image.make((ROOT, OsStr::new(name)), body, OWNER, NOW).unwrap();
        }
        Write(name, text) => image.write(at(image, name), 0, text.as_bytes(), NOW).unwrap(),
        Append(name, text) => {
            let inode = at(image, name);
            let end = image.node(inode).unwrap().length();
            image.write(inode, end, text.as_bytes(), NOW).unwrap();
        }
        Cut(name, length) => image.set_length(at(image, name), length, NOW).unwrap(),
        Sync(name) => image.sync(at(image, name)).unwrap(),
        SyncFolder => image.sync(ROOT).unwrap(),
        Rename(name, new) => {
            let (from, to) = ((ROOT, OsStr::new(name)), (ROOT, OsStr::new(new)));
            image.rename(from, to, super::Rename::Replace).unwrap();
        }
        Exchange(name, new) => {
            let (from, to) = ((ROOT, OsStr::new(name)), (ROOT, OsStr::new(new)));
            image.rename(from, to, super::Rename::Exchange).unwrap();
        }
        Link(name, new) => image.link(at(image, name), (ROOT, OsStr::new(new))).unwrap(),
        Unlink(name) => image.unlink(ROOT, OsStr::new(name)).unwrap(),
        Rmdir(name) => image.remove_folder(ROOT, OsStr::new(name)).unwrap(),
    }
}

/// Every name of the root folder with its text; folders end in `/`.
fn shown(image: &Image) -> Vec<String> {
    let show = |(name, inode): (&OsString, &u64)| {
        let name = name.to_str().unwrap();
        match &image.node(*inode).unwrap().body {
            Body::File(pages) => {
                let bytes = pages.read(0, usize::MAX);
                format!("{name}={}", String::from_utf8(bytes).unwrap())
            }
            _ => format!("{name}/"),
        }
    };
    image.folder(ROOT).unwrap().iter().map(show).collect()
}

#[test]
fn what_was_not_synced_is_forgotten_and_what_was_is_kept() {
    let cases: [(&[Step], &[&str]); 16] = [
        (&[Create("a"), Write("a", "one")], &[]),
        (&[Create("a"), Write("a", "one"), Sync("a")], &["a=one"]),
        (&[Create("a"), Write("a", "one"), Sync("a"), Write("a", "two")], &["a=one"]),
        (&[Create("a"), Write("a", "one"), Sync("a"), Append("a", "two")], &["a=one"]),
        // A sync commits the names of others, not their bytes.
        (&[Create("a"), Write("a", "one"), Create("b"), Sync("b")], &["a=", "b="]),
        (&[Create("a"), Write("a", "one"), SyncFolder], &["a="]),
        (&[Create("a"), Write("a", "one"), Sync("a"), Rename("a", "b")], &["a=one"]),
        (&[Create("a"), Write("a", "one"), Sync("a"), Rename("a", "b"), SyncFolder], &["b=one"]),
        // Renamed over another before its bytes were synced: both texts are gone.
        (
            &[
                Create("a"),
                Write("a", "old"),
                Sync("a"),
                Create("b"),
                Write("b", "new"),
                Rename("b", "a"),
                SyncFolder,
            ],
            &["a="],
        ),
        (&[Create("a"), Write("a", "one"), Sync("a"), Unlink("a")], &["a=one"]),
        (&[Create("a"), Write("a", "one"), Sync("a"), Unlink("a"), SyncFolder], &[]),
        (&[Mkdir("d"), SyncFolder, Mkdir("e"), Rmdir("d")], &["d/"]),
        // A cut is of the names' kind: another's sync commits it.
        (&[Create("a"), Write("a", "one"), Sync("a"), Cut("a", 1)], &["a=one"]),
        (&[Create("a"), Write("a", "one"), Sync("a"), Cut("a", 1), SyncFolder], &["a=o"]),
        (
            &[Create("a"), Write("a", "one"), Sync("a"), Link("a", "b"), SyncFolder, Unlink("a")],
            &["a=one", "b=one"],
        ),
        (
            &[
                Create("a"),
                Write("a", "one"),
                Sync("a"),
                Create("b"),
                Write("b", "two"),
                Sync("b"),
                Exchange("a", "b"),
                SyncFolder,
            ],
            &["a=two", "b=one"],
        ),
    ];
    for (number, (steps, expected)) in cases.into_iter().enumerate() {
        let mut image = Image::new(1 << 20);
        steps.iter().for_each(|step| does(&mut image, step));
        image.forget_the_rest();
        assert_eq!(shown(&image), expected, "case {number}");
        // A second loss takes nothing more.
        image.forget_the_rest();
        assert_eq!(shown(&image), expected, "case {number}, again");
    }
}

#[test]
fn any_of_the_unsynced_pages_may_be_there_and_no_other() {
    let page = |byte: u8| vec![byte; usize::try_from(PAGE_BYTES).unwrap()];
    let (mut kept, mut lost, mut undone) = (0, 0, 0);
    for seed in 0..100 {
        let mut image = Image::new(1 << 20);
        does(&mut image, &Create("a"));
        let inode = image.find(ROOT, OsStr::new("a")).unwrap();
        image.write(inode, 0, &[page(1), page(1)].concat(), NOW).unwrap();
        image.sync(inode).unwrap();
        image.write(inode, 0, &page(2), NOW).unwrap();
        image.write(inode, 2 * PAGE_BYTES, &[page(3), page(4)].concat(), NOW).unwrap();
        does(&mut image, &Create("b"));
        image.lose_power(&mut StdRng::seed_from_u64(seed));
        undone += u32::from(image.find(ROOT, OsStr::new("b")).is_err());
        let bytes = image.read(inode, 0, usize::MAX).unwrap();
        assert!(bytes.len() >= 2 * page(0).len(), "seed {seed}: what was synced is there");
        let expected = [&[1, 2][..], &[1], &[0, 3], &[4]];
        for (held, may_be) in bytes.chunks(page(0).len()).zip(expected) {
            assert!(may_be.iter().any(|byte| held == page(*byte)), "seed {seed}: {}", held[0]);
            kept += u32::from(held[0] > 1);
            lost += u32::from(held[0] <= 1);
        }
    }
    assert!(kept > 10 && lost > 10 && (20..80).contains(&undone), "{kept} {lost} {undone}");
}

#[test]
fn a_full_disk_takes_nothing_more_and_files_without_a_name_give_their_room_back() {
    let mut image = Image::new(2 * PAGE_BYTES);
    does(&mut image, &Create("a"));
    does(&mut image, &Create("b"));
    let [a, b] = ["a", "b"].map(|name| image.find(ROOT, OsStr::new(name)).unwrap());
    image.write(a, 0, &[1; 8_192], NOW).unwrap();
    assert_eq!(image.write(b, 0, b"x", NOW), Err(Errno::NOSPC));
    // What is there may be written again.
    image.write(a, 0, &[2; 8_192], NOW).unwrap();
    image.looked_up(a);
    does(&mut image, &Unlink("a"));
    assert_eq!(image.read(a, 0, 1), Ok(vec![2]), "it is still open");
    assert_eq!(image.write(b, 0, b"x", NOW), Err(Errno::NOSPC));
    image.forget(a, 1);
    image.write(b, 0, b"x", NOW).unwrap();
}
