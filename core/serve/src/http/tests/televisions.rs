//! Requests of players and televisions other than plain ranges, and the changes that proxies make.

use super::*;

#[tokio::test]
async fn the_number_decides_whatever_the_name_is() {
    let shelf = shelf(&[("a.mkv", 10), ("Amélie.mkv", 20)]);
    let server = start(&shelf).await;
    for path in [
        "/stream/1/Am%E9lie.mkv",
        "/stream/1/Amélie.mkv",
        "/stream/1/",
        "/stream/1",
        "/stream/1.mkv",
        "//stream//1//a.mkv",
        "/stream/1/a.mkv/",
        "/stream/1/AC/DC%2FLive.mkv",
        "/stream/1/100%.mkv",
        "/stream/1/other...",
        "/stream/1/%00%0d%0a",
        "http://localhost/stream/1/Am%E9lie.mkv",
    ] {
        for method in ["GET", "HEAD"] {
            let answer = Client::to(&server).await.ask(method, path, &[]).await;
            assert_eq!((answer.status, answer.header("content-length")), (200, Some("20")), "{method} {path}");
        }
    }
    // As sent by players that do not encode paths.
    let mut client = Client::to(&server).await;
    for _ in 0..2 {
        client
            .0
            .write_all(b"HEAD /stream/1/Am\xe9lie - Le Film.mkv HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .await
            .unwrap();
        assert_eq!(client.head().await.status, 200);
    }
    assert_eq!(get(&server, "/status/", &[]).await.status, 200);
    assert_eq!(get(&server, "/stream/2/a.mkv", &[]).await.status, 404);
}

#[tokio::test]
async fn a_time_that_the_film_does_not_have_is_another_programs_parameter() {
    let shelf = timed();
    let server = start(&shelf).await;
    for query in ["t=1699999999999", "t=1699999999.25", "t=11", "t=999:59:59", "_=5&cache=no&T=3", "t"] {
        let answer = get(&server, &format!("/stream/0?{query}"), &[("Range", "bytes=0-9")]).await;
        let expected = if query == "t" { 400 } else { 206 };
        assert_eq!(answer.status, expected, "{query}");
        if expected == 206 {
            assert_eq!(answer.header("content-range"), Some("bytes 0-9/10485760"), "{query}");
            assert_eq!(answer.header("playswarm-time"), None, "{query}");
        }
    }
    // A known duration makes no difference. Neither does a time before the second keyframe, which
    // begins with the film.
    let server = start(&album()).await;
    for query in ["t=26", "t=27", "t=0"] {
        let answer = get(&server, &format!("/stream/0?{query}"), &[]).await;
        assert_eq!(answer.status, if query == "t=27" { 200 } else { 206 }, "{query}");
    }
}

#[tokio::test]
async fn two_ranges_in_two_headers_are_no_range() {
    let server = start(&shelf(&[("a.mkv", 10)])).await;
    assert_eq!(get(&server, "/stream/0", &[("Range", "bytes=0-1"), ("Range", "bytes=2-3")]).await.status, 200);
}

#[tokio::test]
async fn televisions_seek_by_time_only_where_a_decoder_can_begin_anywhere() {
    let mut all = album();
    all.torrent = shelf(&[("a.mp3", 1000 * 417), ("b.mkv", 1000), ("c.mp4", 1000), ("d.jpg", 10)]).torrent;
    all.data = Arc::new(vec![mp3(1000), pattern(1, 1000), pattern(2, 1000), pattern(3, 10)]);
    let server = start(&all).await;
    let wants = ("getcontentFeatures.dlna.org", "1");
    for (file, operations) in [(0, "11"), (1, "01"), (2, "01"), (3, "01")] {
        let answer = get(&server, &format!("/stream/{file}"), &[wants]).await;
        let features = answer.header("contentfeatures.dlna.org").unwrap();
        assert!(features.starts_with(&format!("DLNA.ORG_OP={operations};DLNA.ORG_CI=0;DLNA.ORG_FLAGS=")), "{features}");
    }
    // By time: 26.1 s of 1000 frames.
    let mut client = Client::to(&server).await;
    let answer = client.ask("GET", "/stream/0", &[("TimeSeekRange.dlna.org", "npt=13.0-"), wants]).await;
    assert_eq!(answer.status, 206);
    let told = answer.header("timeseekrange.dlna.org").unwrap();
    assert!(told.starts_with("npt=1") && told.ends_with("-416999/417000") && told.contains("/26."), "{told}");
    let beyond = client.ask("GET", "/stream/0", &[("TimeSeekRange.dlna.org", "npt=27-")]).await;
    assert_eq!((beyond.status, beyond.header("content-range")), (416, Some("bytes */417000")));
    // Seek by time is neither announced nor answered, except for the start, which is the file's
    // start.
    for file in [1, 2] {
        let path = format!("/stream/{file}");
        assert_eq!(client.ask("GET", &path, &[("TimeSeekRange.dlna.org", "npt=8.5-")]).await.status, 406);
        for start in ["npt=0-", "npt=0:00:00.000-0:00:30"] {
            let answer = client.ask("GET", &path, &[("TimeSeekRange.dlna.org", start)]).await;
            assert_eq!((answer.status, answer.body.len()), (200, 1000), "{start}");
        }
    }
    assert_eq!(client.ask("HEAD", "/stream/0", &[]).await.header("contentfeatures.dlna.org"), None);
}

#[tokio::test]
async fn a_transfer_mode_comes_back_as_the_one_that_is_served() {
    let server = start(&shelf(&[("a.mkv", 10), ("b.jpg", 10)])).await;
    let mut client = Client::to(&server).await;
    for (file, asked, told) in [
        (0, "Streaming", "Streaming"),
        (0, "streaming", "Streaming"),
        (0, "Background", "Background"),
        (1, "Interactive", "Interactive"),
        (1, "Streaming", "Interactive"),
    ] {
        let answer = client.ask("HEAD", &format!("/stream/{file}"), &[("transferMode.dlna.org", asked)]).await;
        assert_eq!((answer.status, answer.header("transfermode.dlna.org")), (200, Some(told)), "{asked}");
    }
}

#[tokio::test]
async fn a_television_learns_of_a_subtitle_and_of_the_duration() {
    let server = start(&season()).await;
    let host = ("Host", "192.168.1.9:7");
    for headers in [vec![host], vec![host, ("getCaptionInfo.sec", "1")]] {
        let answer = get(&server, "/stream/0/e1.mp4", &headers).await;
        assert_eq!(answer.header("captioninfo.sec"), Some("http://192.168.1.9:7/stream/1/2_English.srt"));
    }
    assert_eq!(get(&server, "/stream/4", &[]).await.header("captioninfo.sec"), None);
    let server = start(&album()).await;
    get(&server, "/timeline/0", &[]).await;
    let told = get(&server, "/stream/0", &[("getMediaInfo.sec", "1")]).await;
    let duration = told.header("mediainfo.sec").unwrap();
    assert!(duration.starts_with("SEC_Duration=26") && duration.ends_with(';'), "{duration}");
}

#[tokio::test]
async fn links_are_relative_and_a_list_that_is_saved_has_absolute_ones() {
    let server = start(&season()).await;
    let text = |answer: Answer| String::from_utf8(answer.body.to_vec()).unwrap();
    let relative = text(get(&server, "/playlist.m3u8", &[]).await);
    assert!(relative.contains("\nstream/0/e1.mp4\n"), "{relative}");
    let proxied = [
        ("Accept", "text/html,*/*;q=0.8"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "films.example:8443"),
        ("X-Forwarded-Prefix", "/films/"),
    ];
    let saved = text(get(&server, "/playlist.m3u8", &proxied).await);
    assert!(saved.contains("\nhttps://films.example:8443/films/stream/0/e1.mp4\n"), "{saved}");
    assert!(saved.contains("#EXTALBUMARTURL:https://films.example:8443/films/stream/4/poster.jpg\n"), "{saved}");
    let asked = text(get(&server, "/playlist.m3u8?links=absolute", &[("Host", "localhost:7")]).await);
    assert!(asked.contains("\nhttp://localhost:7/stream/0/e1.mp4\n"), "{asked}");
    let page = text(get(&server, "/", &proxied).await);
    assert!(page.contains("href=\"playlist.m3u8\"") && page.contains("src=\"stream/0/e1.mp4\""), "{page}");
    let deep = text(get(&server, "/subtitles/0", &[]).await);
    assert!(deep.contains("\"../stream/1/2_English.srt\"") && deep.contains("\"../subtitles/1.vtt\""), "{deep}");
    // Televisions use a caption's address unchanged. With HTTP/1.0, our address comes from the
    // connection.
    let mut client = Client::to(&server).await;
    client.0.write_all(b"HEAD /stream/0 HTTP/1.0\r\n\r\n").await.unwrap();
    let caption = client.head().await.header("captioninfo.sec").unwrap().to_owned();
    assert_eq!(caption, format!("http://{}/stream/1/2_English.srt", server.addr()));
}

#[tokio::test]
async fn preflights_tell_an_allowed_page_what_it_may_and_others_nothing() {
    let config = HttpConfig { allow_origins: vec!["https://app.example".into()], ..HttpConfig::default() };
    let server = serve_library(shelf(&[("film.mp4", 10)]), 0, config).await.unwrap();
    let allowed = ("Origin", "https://app.example");
    let mut client = Client::to(&server).await;
    for (asks, tells) in [
        ("Access-Control-Request-Private-Network", "access-control-allow-private-network"),
        ("Access-Control-Request-Local-Network", "access-control-allow-local-network"),
    ] {
        let method = ("Access-Control-Request-Method", "GET");
        let answer = client.ask("OPTIONS", "/stream/0", &[allowed, method, (asks, "true")]).await;
        assert_eq!((answer.status, answer.header(tells)), (204, Some("true")));
        assert_eq!(answer.header("access-control-allow-origin"), Some("https://app.example"));
        assert_eq!(client.ask("OPTIONS", "/stream/0", &[allowed, method]).await.header(tells), None);
        for origin in ["https://evil.example", "null"] {
            let answer =
                Client::to(&server).await.ask("OPTIONS", "/stream/0", &[("Origin", origin), (asks, "true")]).await;
            assert_eq!((answer.status, answer.header(tells)), (403, None), "{origin}");
            assert_eq!(answer.header("access-control-allow-origin"), None);
        }
    }
    let plain = client.ask("OPTIONS", "/stream/0", &[]).await;
    assert_eq!((plain.status, plain.header("allow")), (204, Some("GET, HEAD, OPTIONS")));
    assert_eq!(plain.header("access-control-allow-methods"), None);
}
