//! Documents as servers send them, and hostile ones.

use super::*;
use proptest::prelude::*;
use std::path::{Component, Path};

fn parse(text: &str) -> Result<Metalink> {
    Metalink::from_bytes(text.as_bytes())
}

/// Returns a document with this content.
fn document(content: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<metalink xmlns=\"urn:ietf:params:xml:ns:metalink\">{content}</metalink>"
    )
}

fn file(content: &str) -> Result<File> {
    let mut metalink = parse(&document(&format!("<file name=\"f\">{content}</file>")))?;
    Ok(metalink.files.swap_remove(0))
}

fn refusal(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

const SHA1: &str = "da39a3ee5e6b4b0d3255bfef95601890afd80709";
const SHA256: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

#[test]
fn a_document_is_read_whole() {
    let text = document(&format!(
        r#"
  <generator>Generator/1.0</generator><published>2026-01-01T00:00:00Z</published>
  <file name="distribution.iso">
    <size>14471447</size><identity>Distribution</identity><language>en</language>
    <hash type="md5">00</hash>
    <hash type="sha-1"> {SHA1} </hash>
    <hash type="sha-256">{}</hash>
    <pieces length="10000000" type="sha-1"><hash>{SHA1}</hash><hash>{SHA1}</hash></pieces>
    <pieces length="10000000" type="sha-256"><hash>{SHA256}</hash><hash>{SHA256}</hash></pieces>
    <pieces length="10000000" type="sha-512"><hash>00</hash></pieces>
    <url location="DE" priority="100">http://b.example/distribution.iso</url>
    <url>https://last.example/a b&amp;c&#43;d.iso</url>
    <url location="fr" priority="1"><![CDATA[http://a.example/get?x=1&y=2]]></url>
    <url priority="2">ftp://ftp.example/distribution.iso</url>
    <url priority="2">rsync://r.example/distribution.iso</url>
    <metaurl mediatype="torrent" priority="2">http://t.example/d.torrent</metaurl>
    <metaurl mediatype="application/x-other">http://t.example/d.other</metaurl>
  </file>"#,
        SHA256.to_uppercase()
    ));
    let metalink = Metalink::from_bytes(format!("\u{feff}{text}").as_bytes()).unwrap();
    let [file] = &metalink.files[..] else { panic!("{metalink:?}") };
    assert_eq!((file.name.as_str(), file.length), ("distribution.iso", Some(14_471_447)));
    assert_eq!(file.sha1, Some(sha1::sha1(b"")));
    assert_eq!(file.sha256.map(|digest| data_encoding::HEXLOWER.encode(&digest)).as_deref(), Some(SHA256));
    let pieces = file.pieces.as_ref().unwrap();
    assert_eq!((pieces.kind, pieces.piece_bytes, pieces.count()), (HashKind::Sha256, 10_000_000, 2));
    assert_eq!((pieces.hash_of(1), pieces.hash_of(2)), (Some(&file.sha256.unwrap()[..]), None));
    let mirrors: Vec<_> = file.mirrors.iter().map(|m| (m.url.as_str(), m.priority, m.location)).collect();
    assert_eq!(
        mirrors,
        [
            ("http://a.example/get?x=1&y=2", 1, Some(*b"fr")),
            ("http://b.example/distribution.iso", 100, Some(*b"de")),
            ("https://last.example/a%20b&c+d.iso", LOWEST_PRIORITY, None),
        ]
    );
    let torrents: Vec<_> = file.torrents.iter().map(|m| (m.url.as_str(), m.priority)).collect();
    assert_eq!(torrents, [("http://t.example/d.torrent", 2)]);
}

#[test]
fn elements_may_have_a_prefix_and_unknown_ones_are_passed_over() {
    let text = "<m:metalink xmlns:m='urn:ietf:params:xml:ns:metalink'><m:file name='f'><m:size>5</m:size>\
                <x:extra xmlns:x='urn:x'><url>http://h/wrong</url></x:extra><m:url>http://h/f</m:url></m:file></m:metalink>";
    let metalink = parse(text).unwrap();
    assert_eq!((metalink.files[0].length, metalink.files[0].mirrors.len()), (Some(5), 1));
}

#[test]
fn no_name_leaves_the_folder_and_none_is_there_twice() {
    let names = ["a/b.iso", "../../etc/passwd", "/etc/passwd", "C:\\x\\y", "a/b.iso", "a\u{202e}b", "."];
    let files: String = names.iter().map(|name| format!("<file name=\"{name}\"/>")).collect();
    let metalink = parse(&document(&files)).unwrap();
    let paths: Vec<&Path> = metalink.files.iter().map(|file| file.path.as_path()).collect();
    assert_eq!(paths[0], Path::new("a/b.iso"));
    for (n, path) in paths.iter().enumerate() {
        assert!(path.components().all(|c| matches!(c, Component::Normal(_))), "{path:?}");
        assert!(!paths[..n].contains(path), "{path:?}");
    }
    assert!(!metalink.files[5].name.contains('\u{202e}'));
}

#[test]
fn documents_that_cannot_be_used_are_refused() {
    let v3 = "<metalink version=\"3.0\" xmlns=\"http://www.metalinker.org/\"><files/></metalink>";
    for (text, wanted) in [
        ("", "not a Metalink"),
        ("<html/>", "not a Metalink"),
        (v3, ".meta4"),
        (&document(""), "no files"),
        (&document("<file/>"), "without a name"),
        (&document("<file name=\"/\"/>"), "without a name"),
        (&document("<file name='f'>"), "well-formed"),
        ("<metalink xmlns='urn:ietf:params:xml:ns:metalink'><file name='f'>", "well-formed"),
        ("<metalink xmlns='urn:ietf:params:xml:ns:metalink'", "well-formed"),
        (&format!("{}{}", document("<file name='f'/>"), document("")), "not a Metalink"),
    ] {
        assert!(refusal(text).contains(wanted), "{text}: {}", refusal(text));
    }
    for (content, wanted) in [
        ("<size>5x</size>", "no number"),
        ("<size>-5</size>", "no number"),
        ("<hash type='sha-256'>00</hash>", "hash of the wrong length"),
        ("<hash type='sha-1'>zz</hash>", "hash of the wrong length"),
        ("<pieces type='sha-1'/>", "usable length"),
        ("<pieces type='sha-1' length='0'/>", "usable length"),
        ("<pieces type='sha-1' length='99999999999'/>", "usable length"),
        ("<size>5000</size><pieces type='sha-1' length='1024'/>", "number of pieces"),
    ] {
        let found = file(content).unwrap_err().to_string();
        assert!(found.contains(wanted), "{content}: {found}");
    }
    assert_eq!(Metalink::from_bytes(b"\xff").unwrap_err().0, "it is not text in UTF-8");
    assert!(Metalink::from_bytes(&vec![b' '; MAX_METALINK_BYTES + 1]).unwrap_err().0.contains("larger"));
}

#[test]
fn entities_and_depth_are_no_weapon() {
    let bomb = "<!DOCTYPE m [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;\">]>";
    let text = document("<file name='f'><url>&b;</url></file>");
    assert!(refusal(&text.replacen('\n', bomb, 1)).contains("entities"));
    assert!(refusal(&text).contains("entities"));
    assert!(refusal(&document("<file name='&b;'/>")).contains("well-formed"));
    let external = "<!DOCTYPE m SYSTEM \"http://127.0.0.1/\">";
    assert!(refusal(&format!("{external}{}", document("<file name='f'/>"))).contains("entities"));
    let deep = format!("<file name='f'>{}{}</file>", "<x>".repeat(100_000), "</x>".repeat(100_000));
    assert!(refusal(&document(&deep)).contains("within each other"));
    let fits = format!("<file name='f'>{}{}</file>", "<x>".repeat(6), "</x>".repeat(6));
    assert!(parse(&document(&fits)).is_ok());
}

#[test]
fn numbers_of_files_and_mirrors_have_limits() {
    let mirrors: String = (0..1000).map(|n| format!("<url priority='1'>http://h{n}/</url>")).collect();
    assert_eq!(file(&mirrors).unwrap().mirrors.len(), MAX_MIRRORS);
    let files: String = (0..2000).map(|n| format!("<file name='f{n}'/>")).collect();
    assert_eq!(parse(&document(&files)).unwrap().files.len(), MAX_FILES);
}

#[test]
fn what_a_file_says_after_the_last_one_kept_does_not_change_that_one() {
    let kept = "<file name='a'><size>1</size></file>".repeat(MAX_FILES);
    let metalink = parse(&document(&format!("{kept}<file name='b'><size>2</size></file><size>3</size>"))).unwrap();
    assert!(metalink.files.iter().all(|file| file.length == Some(1)));
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "(<|>|/|file|pieces|hash|url| name='a'| length='9999'|&lt;|&#x41;|\\PC){0,60}") {
        let _ = parse(&text);
        if let Ok(metalink) = parse(&document(&text)) {
            prop_assert!(!metalink.files.is_empty());
        }
    }
}
