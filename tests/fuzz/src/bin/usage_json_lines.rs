//! A usage file of JSON lines.

#![no_main]

use maru_fuzz::{Reader, read};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| read(Reader::Usage("jsonl"), bytes));
