"""Errors meant for users: each names place, value and remedy; the command line prints them and exits 2."""


class MCLDError(Exception):
    """Base of every error a user can act on. The message is one plain sentence, shown without a traceback."""


class ConfigError(MCLDError):
    """A parameter, profile or command-line option is unknown, out of range or contradictory."""


class DataError(MCLDError):
    """An image, label, index, column or shard is missing, damaged or inconsistent."""


class WeightsError(MCLDError):
    """A weights file is missing, of the wrong architecture, or does not match its recorded hash."""


class CheckpointError(MCLDError):
    """No usable training checkpoint where one is needed."""


class TrainingStoppedError(MCLDError):
    """Training was asked to stop and has saved where it is; the same command goes on from there."""


class TrackingError(MCLDError):
    """MLflow does not take what is left for it. Training never raises this."""


class PromotionError(MCLDError):
    """A model is not shown to be better than the champion; it stays candidate."""


class WorkspaceBusyError(MCLDError):
    """Another run holds the workspace."""


class WorkerError(MCLDError):
    """A worker process died or is lost (killed, or out of memory); its finished parts are kept."""


class StorageError(MCLDError):
    """An object store refuses, does not answer, or holds other bytes than were asked for."""


class DamagedError(StorageError):
    """What an object store sent is not what was put there."""
