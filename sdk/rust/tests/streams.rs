//! Streams, operator by operator.

#![allow(missing_docs, clippy::unwrap_used)]

use miqro_sdk::prelude::*;
use miqro_sdk::streams::{self, Reading, Stream};
use miqro_sdk::test::TestHost;

/// All that comes out of `stream` for `items`, its end included.
fn run<I: 'static, O: 'static>(
    mut stream: Stream<I, O>,
    items: impl IntoIterator<Item = I>,
) -> Vec<O> {
    let mut out: Vec<O> = items
        .into_iter()
        .flat_map(|item| stream.push(item).unwrap())
        .collect();
    out.extend(stream.end().unwrap());
    out
}

fn numbers() -> Stream<i32, i32> {
    streams::of()
}

#[test]
fn items_are_kept_made_and_gathered() {
    assert_eq!(
        run(numbers().filter(|n| n % 2 == 0).map(|n| n * 10), 1..=4),
        [20, 40]
    );
    assert_eq!(
        run(numbers().scan(0, |sum, n| sum + n), 1..=4),
        [1, 3, 6, 10]
    );
    assert_eq!(run(numbers().reduce(0, |sum, n| sum + n), 1..=4), [10]);
    assert_eq!(run(numbers().deduplicate(), [1, 1, 2, 1]), [1, 2, 1]);
}

#[test]
fn the_first_and_the_last_are_taken() {
    assert_eq!(run(numbers().take(2), 1..=4), [1, 2]);
    assert_eq!(run(numbers().take(0), 1..=4), Vec::<i32>::new());
    assert_eq!(run(numbers().skip(3), 1..=4), [4]);
    assert_eq!(run(numbers().skip(0).first(), 1..=4), [1]);
    assert_eq!(run(numbers().last(), 1..=4), [4]);
    assert_eq!(run(numbers().take_last(2), 1..=4), [3, 4]);
    assert_eq!(run(numbers().some(|n| *n == 3), 1..=4), [true]);
    assert_eq!(run(numbers().some(|n| *n == 9), 1..=4), [false]);
}

#[test]
fn a_complete_stream_gives_what_was_gathered_at_once() {
    let mut stream = numbers().take(2).reduce(0, |sum, n| sum + n);
    assert_eq!(
        (stream.push(1).unwrap(), stream.push(2).unwrap()),
        (vec![], vec![3])
    );
    assert!(stream.is_complete());
    assert_eq!(
        (stream.push(3).unwrap(), stream.end().unwrap()),
        (vec![], vec![])
    );
}

#[test]
fn windows_end_by_count_and_means_slide() {
    assert_eq!(
        run(numbers().window(Some(2), None), 1..=5),
        [vec![1, 2], vec![3, 4], vec![5]]
    );
    assert_eq!(
        run(streams::of::<f64>().sliding_mean(2), [1.0, 3.0, 5.0]),
        [1.0, 2.0, 4.0]
    );
    assert_eq!(
        run(streams::of::<f64>().median(3), [9.0, 1.0, 2.0, 4.0, 8.0]),
        [2.0, 6.0]
    );
}

#[test]
fn items_go_into_branches() {
    let seen = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
    let branch = |name: &'static str| {
        let seen = seen.clone();
        numbers().inspect(move |n| seen.borrow_mut().push((name, *n)))
    };
    let table = numbers()
        .dispatch(|n| *n < 2, branch("low"))
        .dispatch(|n| *n > 3, branch("high"));
    assert_eq!(run(table, 1..=4), [2, 3]);
    assert_eq!(*seen.borrow(), [("low", 1), ("high", 4)]);
    seen.borrow_mut().clear();
    assert_eq!(
        run(
            numbers()
                .parallel(vec![branch("a"), branch("b")])
                .passthrough(branch("c").map(|_| ())),
            [7]
        ),
        [7]
    );

    assert_eq!(*seen.borrow(), [("a", 7), ("b", 7), ("c", 7)]);
}

struct Lux {
    readings: Stream<Vec<u8>, Vec<Reading>>,
    alive: Stream<(), &'static str>,
}

#[service]
impl Lux {
    #[new]
    fn new() -> Self {
        let readings = streams::readings()
            .try_map(|reading| {
                if reading.val < 0.0 {
                    Err(Error::new("below zero"))
                } else {
                    Ok(reading)
                }
            })
            .publish("raw", 0)
            .publish("archive/raw", 1)
            .window(Some(10), Some(Duration::from_secs(2)))
            .publish("window", 0)
            .timer("readings");

        let alive = streams::of()
            .map(|()| "alive")
            .on_timeout(Duration::from_secs(5), || "silent")
            .publish("alive", 0);
        Self {
            readings,
            alive: alive.timer("alive"),
        }
    }

    #[handle("lux")]
    fn lux(&mut self, payload: Vec<u8>) -> Result {
        self.alive.push(())?;
        self.readings.push(payload).map(drop)
    }

    #[every("1h")]
    fn sample(&mut self) -> Result {
        publish("sampled", Json(Reading::now("own", 1.5)))
    }

    #[timer]
    fn readings(&mut self) -> Result {
        self.readings.due().map(drop)
    }

    #[timer]
    fn alive(&mut self) -> Result {
        self.alive.due().map(drop)
    }
}

#[test]
fn one_bad_message_never_ends_a_stream() {
    let mut host = TestHost::<Lux>::start().unwrap();
    host.expect_next("sampled", "[\"own\", 1767225600, 1.5]");
    host.send("lux", "[\"lux-1\", 624, 284.1312]").unwrap();
    host.expect_next("alive", "\"alive\"");
    host.expect_next("raw", "[\"lux-1\", 624, 284.1312]");
    assert_eq!(
        host.expect_next("archive/raw", "[\"lux-1\", 624, 284.1312]")
            .qos,
        1
    );
    host.send("lux", "garbage").unwrap();
    host.send("lux", "[\"lux-1\", 625, -1]").unwrap();
    assert_eq!(counters().stream_errors, 2);
    host.skip();
    host.send("lux", "[\"lux-1\", 626.5, 288.0]").unwrap();
    host.expect_next("alive", "\"alive\"");
    host.expect_next("raw", "[\"lux-1\", 626.5, 288.0]");
}

#[test]
fn windows_and_silences_end_by_the_timer() {
    let mut host = TestHost::<Lux>::start().unwrap();
    host.expect_next("sampled", "[\"own\", 1767225600, 1.5]");
    host.send("lux", "[\"lux-1\", 1, 2]").unwrap();
    host.skip();
    host.advance(Duration::from_millis(1_999)).unwrap();
    host.expect_nothing();
    host.advance(Duration::from_millis(1)).unwrap();
    host.expect_next("window", "[[\"lux-1\", 1, 2.0]]");
    host.advance(Duration::from_secs(3)).unwrap();
    host.expect_next("alive", "\"silent\"");
    host.advance(Duration::from_secs(5)).unwrap();
    host.expect_next("alive", "\"silent\"");
    host.expect_nothing();
}
