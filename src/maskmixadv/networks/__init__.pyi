from . import losses as losses
from .critic import Critic as Critic
from .unet import UNet as UNet
