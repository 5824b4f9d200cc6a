"""The parts that methods are built from: networks, losses, averages, optimisers; imported when they are asked for."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
