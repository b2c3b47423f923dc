//! With `--cfg fuzzing` a libFuzzer program for the target that `HEADWATER_FUZZ` names, as built by
//! `cargo xtask fuzz`; otherwise `headwater-fuzz FOLDER`, which writes the seeds of every target
//! into folders named after them.

#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
mod fuzz {
    //! One program for all targets, so that libFuzzer is linked once.
    #![allow(clippy::expect_used, reason = "a fuzzer without a target has nothing to do")]

    use std::sync::LazyLock;

    use headwater_fuzz::{Target, named};

    static TARGET: LazyLock<&'static Target> = LazyLock::new(|| {
        let name = std::env::var("HEADWATER_FUZZ").unwrap_or_default();
        named(&name).expect("HEADWATER_FUZZ names a target")
    });

    libfuzzer_sys::fuzz_target!(|input: &[u8]| TARGET.exercise(input));
}

#[cfg(not(fuzzing))]
fn main() -> std::process::ExitCode {
    let Some(folder) = std::env::args_os().nth(1) else {
        return fail("usage: headwater-fuzz FOLDER");
    };
    match headwater_fuzz::seeds::write(folder.as_ref()) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => fail(&format!("the seeds were not written: {error}")),
    }
}

#[cfg(not(fuzzing))]
#[expect(clippy::print_stderr, reason = "where a program says what is wrong")]
fn fail(sentence: &str) -> std::process::ExitCode {
    eprintln!("{sentence}");
    std::process::ExitCode::FAILURE
}
