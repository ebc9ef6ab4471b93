//! The `Transport` header (RFC 2326, section 12.39).

/// Lowest port to which media is sent. Lower ones belong to services of the system.
const LEAST_PORT: u16 = 1024;

/// A way to deliver one stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    /// Frames within the connection: the channels of RTP and RTCP, if the client chose them.
    Interleaved(Option<(u8, u8)>),
    /// Datagrams to these ports of the client.
    Udp(u16, u16),
}

impl Transport {
    /// Returns the first transport of the list that this server has.
    ///
    /// `destination` is not read: media goes only to the address that asked for it.
    pub(crate) fn choose(value: &str) -> Option<Transport> {
        value.split(',').find_map(one)
    }
}

fn one(text: &str) -> Option<Transport> {
    let mut parts = text.split(';').map(str::trim);
    let is_tcp = match parts.next()?.to_ascii_uppercase().as_str() {
        "RTP/AVP" | "RTP/AVP/UDP" => false,
        "RTP/AVP/TCP" => true,
        _ => return None,
    };
    let (mut ports, mut channels) = (None, None);
    for part in parts {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        match name.to_ascii_lowercase().as_str() {
            "multicast" => return None,
            "mode" if !value.trim_matches('"').eq_ignore_ascii_case("play") => return None,
            "client_port" => ports = Some(pair::<u16>(value)?),
            "interleaved" => channels = Some(pair::<u8>(value)?),
            _ => {}
        }
    }
    if is_tcp {
        return Some(Transport::Interleaved(channels));
    }
    ports.filter(|(rtp, rtcp)| rtp.min(rtcp) >= &LEAST_PORT).map(|(rtp, rtcp)| Transport::Udp(rtp, rtcp))
}

/// Parses two different numbers, or one and its successor.
fn pair<T: Copy + PartialEq + std::str::FromStr + TryFrom<u32> + Into<u32>>(text: &str) -> Option<(T, T)> {
    let (first, second) = match text.split_once('-') {
        Some((first, second)) => (first.parse().ok()?, second.parse().ok()?),
        None => {
            let first: T = text.parse().ok()?;
            (first, T::try_from(first.into() + 1).ok()?)
        }
    };
    (first != second).then_some((first, second))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_acceptable_transport_of_real_clients_is_chosen() {
        let choose = Transport::choose;
        assert_eq!(choose("RTP/AVP/UDP;unicast;client_port=17422-17423"), Some(Transport::Udp(17422, 17423)));
        assert_eq!(choose("RTP/AVP;unicast;client_port=9164-9165"), Some(Transport::Udp(9164, 9165)));
        assert_eq!(choose("RTP/AVP/TCP;unicast;interleaved=2-3"), Some(Transport::Interleaved(Some((2, 3)))));
        assert_eq!(choose("RTP/AVP/TCP;unicast;mode=\"PLAY\""), Some(Transport::Interleaved(None)));
        let gstreamer = "RTP/AVPF;unicast;client_port=1-2,RTP/AVP;multicast,RTP/AVP/TCP;unicast;interleaved=0-1";
        assert_eq!(choose(gstreamer), Some(Transport::Interleaved(Some((0, 1)))));
    }

    #[test]
    fn multicast_recording_and_low_ports_are_refused() {
        let wrong = [
            "RTP/AVP;multicast;client_port=5000-5001",
            "RTP/AVP;unicast;client_port=53-54",
            "RTP/AVP;unicast;client_port=5000-5000",
            "RTP/AVP;unicast;client_port=65535",
            "RTP/AVP/TCP;interleaved=255",
            "RTP/AVP;unicast",
            "RTP/SAVP;unicast;client_port=5000-5001",
            "RTP/AVP/TCP;unicast;interleaved=0-1;mode=record",
            "",
        ];
        for text in wrong {
            assert_eq!(Transport::choose(text), None, "{text}");
        }
    }
}
