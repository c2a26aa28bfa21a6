"""Sort the voice prompts of Asterisk into a folder for each language: python prompts_data.py FOLDER

FOLDER is where the packages were unpacked (Debian; CC-BY-SA 3.0, ru CC-BY 3.0; en and es are the same speaker):

    for l in en es fr it ru; do apt-get download asterisk-core-sounds-$l-wav; done
    for f in asterisk-core-sounds-*.deb; do dpkg -x $f FOLDER; done

Writes prompts/LANGUAGE/*.wav and prompts_test/LANGUAGE/*.wav: no clip in both, one in four in the second. Clips under
a second are left out.
"""

import random
import shutil
import sys
import wave
from pathlib import Path

LANGUAGES, SHORTEST = ("en", "es", "fr", "it", "ru"), 1.0


def main(folder: str) -> None:
    voices = Path(folder) / "usr/share/asterisk/sounds"
    for language in LANGUAGES:
        (voice,) = [path for path in sorted(voices.iterdir()) if path.name.startswith(f"{language}_")]
        files = [path for path in sorted(voice.rglob("*.wav")) if seconds(path) >= SHORTEST]
        random.Random(0).shuffle(files)
        for name, part in (("prompts_test", files[::4]), ("prompts", [f for i, f in enumerate(files) if i % 4])):
            place = Path(name) / language
            place.mkdir(parents=True)
            for path in part:
                shutil.copy(path, place / "-".join(path.relative_to(voice).parts))
            print(f"{place}: {len(part)} clips")


def seconds(path: Path) -> float:
    with wave.open(str(path)) as file:
        return file.getnframes() / file.getframerate()


if __name__ == "__main__":
    main(sys.argv[1])
