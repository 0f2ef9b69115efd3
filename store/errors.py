"""What can go wrong, and what the caller should do about it.

RondelError                 exit 1  anything this program reports by itself
├── UsageError              exit 2  what was asked for cannot be
│   ├── SettingsError       exit 2  project.toml or a setting is wrong
│   └── MissingExtraError   exit 2  an optional package is not installed
├── InvalidDataError        exit 3  what was handed in cannot be used
│   ├── VolumeError         exit 3  an image volume
│   │   └── ForbiddenError  exit 3  one that its server does not hand out
│   ├── LabelError          exit 3  labels or a label box
│   ├── ModelError          exit 3  a model version
│   └── ProjectError        exit 3  a project folder
├── LockedError             exit 4  another process holds the lock
├── SpaceError              exit 5  no space left, or a read-only place
├── OutOfMemoryError        exit 6  the accelerator's memory does not suffice
├── TrainingError           exit 1  a training run that must not publish
└── Cancelled               exit 143  a job that was asked to stop
"""


class RondelError(Exception):
    """Say what was asked, what was found and, as the hint, what to do; one line when printed."""

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = " ".join(message.split())
        self.hint = " ".join(hint.split())

    def __str__(self) -> str:
        return f"{self.message}; {self.hint}" if self.hint else self.message


class UsageError(RondelError, ValueError):
    exit_code = 2


class SettingsError(UsageError):
    pass


class MissingExtraError(UsageError, ImportError):
    pass


class InvalidDataError(RondelError, ValueError):
    exit_code = 3


class VolumeError(InvalidDataError):
    pass


class ForbiddenError(VolumeError):
    pass


class LabelError(InvalidDataError):
    pass


class ModelError(InvalidDataError):
    pass


class ProjectError(InvalidDataError):
    pass


class LockedError(RondelError):
    exit_code = 4


class SpaceError(RondelError, OSError):
    exit_code = 5


class OutOfMemoryError(RondelError, MemoryError):
    exit_code = 6


class TrainingError(RondelError, ArithmeticError):
    pass


class Cancelled(RondelError):
    exit_code = 143


def named(name: str, message: str, hint: str) -> RondelError:
    """Make the error of this class name again, as another process met it."""
    kind = globals().get(name)
    if isinstance(kind, type) and issubclass(kind, RondelError):
        return kind(message, hint)
    return RondelError(message, hint)
