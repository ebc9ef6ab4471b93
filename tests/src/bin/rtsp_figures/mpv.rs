//! mpv, which says when it shows a picture.

use playswarm_tests::process::Process;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// Longest wait for mpv.
const LONG: Duration = Duration::from_secs(120);

/// Jumps a while after the last picture appeared, and says how long each jump took.
const SCRIPT: &str = r#"
local targets, gap, step, asked = {TARGETS}, GAP, 0, nil
mp.register_event("playback-restart", function()
    if step == 0 then print("FRAME") elseif asked then print(string.format("JUMP %.4f", mp.get_time() - asked)) end
    asked = nil
    mp.add_timeout(gap, function()
        step = step + 1
        if targets[step] then
            asked = mp.get_time()
            mp.commandv("seek", targets[step], "absolute+exact")
        else
            mp.commandv("quit")
        end
    end)
end)
"#;

/// What mpv took, in seconds.
pub(crate) struct Times {
    /// From its start to the first picture.
    pub(crate) first: f64,
    /// From each jump to its picture.
    pub(crate) jumps: Vec<f64>,
}

/// Plays a URL and jumps to these times, `gap` seconds after the last picture appeared. `command`
/// runs mpv.
pub(crate) fn play(mut command: Command, folder: &Path, url: &str, targets: &[f64], gap: f64) -> Times {
    let (script, list) = (folder.join("jumps.lua"), targets.iter().map(|at| format!("{at},")).collect::<String>());
    std::fs::write(&script, SCRIPT.replace("TARGETS", &list).replace("GAP", &gap.to_string())).unwrap();
    command.args(["--no-config", "--vo=null", "--ao=null", "--msg-level=all=warn,jumps=info"]);
    command.arg(format!("--script={}", script.display())).arg(url).env("HOME", folder);
    let start = Instant::now();
    let mut mpv = Process::start("mpv", command);
    mpv.expect_line(0, LONG, |line| line.contains("FRAME").then_some(()));
    let first = start.elapsed().as_secs_f64();
    assert!(mpv.wait(LONG).success(), "{:?}", mpv.stdout());
    let took = |line: &String| line.split_once("JUMP ")?.1.trim().parse().ok();
    Times { first, jumps: mpv.stdout().iter().filter_map(took).collect() }
}
