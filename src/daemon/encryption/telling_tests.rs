use super::*;

fn changed() -> Stand {
    Stand::Changed(vec!["the file cannot be read".to_owned()])
}

#[test]
fn what_stays_so_is_told_once_and_again_when_it_was_over_meanwhile() {
    for now in [
        Stand::Unwatched("no file".to_owned()),
        Stand::Unguarded("the disk is full".to_owned()),
        changed(),
        Stand::Endangered("a key is gone".to_owned()),
    ] {
        let mut stand = Stand::default();
        assert!(stand.becomes(now.clone()), "{now:?}");
        assert!(!stand.becomes(now.clone()), "{now:?}: it is still so");
        assert!(stand.becomes(Stand::InOrder), "{now:?}");
        assert!(stand.becomes(now.clone()), "{now:?}: it is so again");
    }
}

#[test]
fn a_change_that_no_value_minds_any_more_is_told_after_a_danger() {
    let mut stand = changed();
    assert!(stand.becomes(Stand::Endangered("2 values need it".to_owned())));
    assert!(!stand.becomes(Stand::Endangered("3 values need it".to_owned())));
    assert!(stand.becomes(changed()));
}

#[test]
fn what_cannot_be_told_counts_as_a_danger() {
    for (stand, is_endangered) in [
        (Stand::InOrder, false),
        (Stand::Unwatched("no file".to_owned()), false),
        (Stand::Unguarded("the disk is full".to_owned()), true),
        (changed(), false),
        (Stand::Endangered("a key is gone".to_owned()), true),
    ] {
        assert_eq!(stand.is_endangered(), is_endangered, "{stand:?}");
    }
}

#[test]
fn a_wait_is_told_once_for_as_long_as_it_lasts_and_however_long_it_rests_between() {
    let mut lasting = Lasting::default();
    assert!(lasting.is_news("etcd does not answer, 10 s"));
    lasting.passed(false);
    for _ in 0..3 {
        // What failed is tried again later, and nothing is done before.
        lasting.passed(true);
    }
    assert!(!lasting.is_news("etcd does not answer, 9 s"));
    lasting.passed(false);
    // It answered.
    lasting.passed(false);
    assert!(lasting.is_news("etcd does not answer, 10 s"));
}

#[test]
fn another_thing_is_told_and_then_the_first_one_again() {
    let mut lasting = Lasting::default();
    for what in ["one", "other", "one"] {
        assert!(lasting.is_news(what));
        lasting.passed(false);
    }
}
