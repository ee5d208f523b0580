"""Files, folders and lists to jobs."""

from __future__ import annotations

from pathlib import Path

import pytest

from mcld.errors import ConfigError, DataError
from mcld.inference.jobs import Job, jobs_for, jobs_in_list


def _photos(directory: Path, *names: str) -> Path:
    directory.mkdir()
    for name in (*names, "notes.txt"):
        (directory / name).touch()
    return directory


def test_two_files_are_one_job(tmp_path: Path) -> None:
    folder = _photos(tmp_path / "photos", "a.jpg", "b.jpg")
    job = Job(source=folder / "a.jpg", target=folder / "b.jpg", out=tmp_path / "o.png")
    assert jobs_for(folder / "a.jpg", target=folder / "b.jpg", out=tmp_path / "o.png") == (job,)


def test_a_folder_of_poses_is_a_sequence_in_the_order_of_their_names(tmp_path: Path) -> None:
    source = _photos(tmp_path / "photos", "me.jpg") / "me.jpg"
    poses = _photos(tmp_path / "poses", "03.png", "01.JPG", "02.jpeg")
    jobs = jobs_for(source, target=poses, out=tmp_path / "out")
    assert [job.target.name for job in jobs] == ["01.JPG", "02.jpeg", "03.png"]
    assert [job.out for job in jobs] == [tmp_path / "out" / f"0{number}.png" for number in (1, 2, 3)]


def test_a_folder_of_people_is_named_after_them(tmp_path: Path) -> None:
    people = _photos(tmp_path / "people", "ann.jpg", "bob.jpg")
    pose = _photos(tmp_path / "poses", "p.jpg") / "p.jpg"
    assert [job.out.name for job in jobs_for(people, target=pose, out=tmp_path / "out")] == [
        "ann.png",
        "bob.png",
    ]


def test_two_folders_are_every_person_in_every_pose(tmp_path: Path) -> None:
    people, poses = _photos(tmp_path / "a", "x.jpg", "y.jpg"), _photos(tmp_path / "b", "1.jpg", "2.jpg")
    names = [job.out.name for job in jobs_for(people, target=poses, out=tmp_path / "out")]
    assert names == ["x--1.png", "x--2.png", "y--1.png", "y--2.png"]


@pytest.mark.parametrize("columns", ["source,target", "from,to", "target,weight,source"])
def test_a_list_names_pairs_relative_to_itself(tmp_path: Path, columns: str) -> None:
    row = {"source": "s.jpg", "from": "s.jpg", "target": "t.jpg", "to": "t.jpg", "weight": "1"}
    path = tmp_path / "pairs.csv"
    path.write_text(f"{columns}\n{','.join(row[name] for name in columns.split(','))}\n")
    job = Job(source=tmp_path / "s.jpg", target=tmp_path / "t.jpg", out=tmp_path / "out" / "000000.png")
    assert jobs_in_list(path, out=tmp_path / "out") == (job,)


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "source,target\n"])
def test_a_list_without_its_columns_or_rows_is_a_sentence(tmp_path: Path, text: str) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=r"pairs\.csv: needs a first line with the columns source and target"):
        jobs_in_list(path, out=tmp_path / "out")


def test_what_is_missing_empty_or_misnamed_is_a_sentence(tmp_path: Path) -> None:
    photo = _photos(tmp_path / "photos", "a.jpg") / "a.jpg"
    empty = _photos(tmp_path / "empty")
    with pytest.raises(ConfigError, match="there is no such file or folder"):
        jobs_for(tmp_path / "no.jpg", target=photo, out=tmp_path / "o.png")
    with pytest.raises(ConfigError, match="holds no photograph"):
        jobs_for(photo, target=empty, out=tmp_path / "out")
    with pytest.raises(ConfigError, match=r"must end in \.png"):
        jobs_for(photo, target=photo, out=tmp_path / "o.jpg")
    with pytest.raises(ConfigError, match="several pictures go into a folder"):
        jobs_for(photo, target=photo.parent, out=tmp_path / "o.png")
