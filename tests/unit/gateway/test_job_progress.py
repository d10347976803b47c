"""How far a job is."""

from processes.gateway.job_progress import Progress


def test_progress_when_an_earlier_run_has_spoken_some_then_that_is_encoded_first_and_not_counted_again():
    progress = Progress(utterances=10)
    progress.begin(4, 20.0)
    for number in range(4):
        progress.note(number, 5.0)
    assert (progress.step, progress.done, progress.audio_s) == ("encoding", 4, 20.0)
    assert progress.left_s() is None
    progress.speak()
    progress.note(4, 5.0)
    assert (progress.step, progress.done, progress.audio_s) == ("speaking", 5, 25.0)
    began_at_s = progress.began_at_s
    progress.speak()
    assert progress.began_at_s == began_at_s
    progress.began_at_s -= 2.0  # that long for the one
    assert progress.left_s() is not None
    assert round(progress.left_s() or 0) == 10  # for five more


def test_progress_when_nothing_was_spoken_before_then_it_begins_with_speaking():
    progress = Progress(utterances=2)
    progress.begin(0, 0.0)
    assert (progress.step, progress.left_s()) == ("speaking", None)
