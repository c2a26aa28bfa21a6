from hypothesis import given
from hypothesis import strategies as st

from edgekd.report.placing import Box, place, together

FRAME = Box(0, 0, 400, 300)
SPOTS = st.lists(st.tuples(st.floats(150, 250), st.floats(80, 220)), min_size=1, max_size=4)


@given(SPOTS)
def test_names_never_cover_each_other_nor_leave_the_frame_where_there_is_room(marks: list[tuple[float, float]]) -> None:
    boxes = place(marks, ["student int8"] * len(marks), FRAME)
    assert all(FRAME.holds(box) for box in boxes)
    for i, box in enumerate(boxes):
        assert not any(box.meets(other) for other in boxes[:i])


def test_a_lonely_mark_has_its_name_on_the_right() -> None:
    (box,) = place([(100, 100)], ["teacher"], FRAME)
    assert box.left > 100 and box.bottom < 100 < box.top


def test_at_the_edge_the_name_goes_to_the_left() -> None:
    (box,) = place([(390, 100)], ["teacher"], FRAME)
    assert box.right < 390


def test_a_line_is_not_written_over() -> None:
    line = Box(119, 0, 121, 300)
    (box,) = place([(100, 100)], ["teacher"], FRAME, [line])
    assert not box.meets(line)


def test_without_any_room_a_name_still_stands() -> None:
    assert len(place([(5, 5)], ["a very long name that cannot fit"], Box(0, 0, 10, 10))) == 1


def test_marks_of_one_kind_that_cover_each_other_are_one_group() -> None:
    marks = [((0.0, 0.0), "student"), ((3.0, 0.0), "teacher"), ((4.0, 0.0), "student"), ((30.0, 0.0), "student")]
    assert together(marks) == [[(0.0, 0.0), (4.0, 0.0)], [(3.0, 0.0)], [(30.0, 0.0)]]
