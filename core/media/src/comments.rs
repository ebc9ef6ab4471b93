//! Title and language from the tags of audio files: Vorbis comments, used by FLAC and Ogg. Also the
//! clean-up of all foreign text.

use crate::timeline::Track;

/// Longest title or language kept, in characters, for display in a list.
const MAX_CHARS: usize = 200;

/// Most comments read. A well-tagged album has about thirty.
const MAX_COMMENTS: usize = 256;

/// Cleans a text for display: no control characters, no surrounding spaces, limited length. Returns
/// `None` if nothing is left.
pub(crate) fn tidy(text: &str) -> Option<String> {
    let text: String = text.trim().chars().filter(|c| !c.is_control()).take(MAX_CHARS).collect();
    (!text.is_empty()).then_some(text)
}

/// Reads title and language from the available part of a Vorbis comment block (without its packet's
/// magic).
pub(crate) fn read(block: &[u8], track: &mut Track) {
    let mut rest = block;
    let mut take = || -> Option<&[u8]> {
        let (length, after) = rest.split_first_chunk::<4>()?;
        let (bytes, after) = after.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        rest = after;
        Some(bytes)
    };
    // The encoder's name, followed by the number of comments, which the length of the block implies
    // as well.
    if take().is_none() {
        return;
    }
    let Some((_, after)) = rest.split_first_chunk::<4>() else { return };
    rest = after;
    for _ in 0..MAX_COMMENTS {
        let Some((length, after)) = rest.split_first_chunk::<4>() else { return };
        let Some((comment, after)) = after.split_at_checked(u32::from_le_bytes(*length) as usize) else { return };
        rest = after;
        let Some(equals) = comment.iter().position(|b| *b == b'=') else { continue };
        let text = || std::str::from_utf8(&comment[equals + 1..]).ok().and_then(tidy);
        match comment[..equals].to_ascii_uppercase().as_slice() {
            b"TITLE" if track.title.is_none() => track.title = text(),
            b"LANGUAGE" if track.language.is_none() => track.language = text(),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(comments: &[&str]) -> Vec<u8> {
        let mut bytes = [&3u32.to_le_bytes()[..], b"enc", &(comments.len() as u32).to_le_bytes()].concat();
        for comment in comments {
            bytes.extend_from_slice(&(comment.len() as u32).to_le_bytes());
            bytes.extend_from_slice(comment.as_bytes());
        }
        bytes
    }

    #[test]
    fn title_and_language_are_found_in_any_case_of_letters() {
        let mut track = Track::default();
        read(&block(&["ARTIST=x", "no equals", "title= Blue \n", "Language=deu"]), &mut track);
        assert_eq!((track.title.as_deref(), track.language.as_deref()), (Some("Blue"), Some("deu")));
    }

    #[test]
    fn a_truncated_block_or_a_wrong_length_gives_the_complete_comments() {
        let whole = block(&["title=Blue", "language=deu"]);
        for cut in 0..whole.len() {
            let mut track = Track::default();
            read(&whole[..cut], &mut track);
            assert_eq!(track.language, None);
        }
        let mut lying = whole;
        lying[0] = 0xff;
        let mut track = Track::default();
        read(&lying, &mut track);
        assert_eq!(track.title, None);
    }
}
