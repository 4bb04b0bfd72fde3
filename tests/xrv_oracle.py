"""TorchXRayVision's own DenseNet with random weights: what the import has to reproduce. Runs in a process of its own.

python tests/xrv_oracle.py make CHECKPOINT.pt
python tests/xrv_oracle.py run CHECKPOINT.pt SQUARES.npy OUT.npz
"""

import sys

import numpy as np
import torch

from cxr.model.xrv_child import _EmptyModules

sys.meta_path.insert(0, _EmptyModules())


def make(path: str) -> None:
    """Random weights and random statistics of every normalisation: with their defaults a wrong order would not show."""
    from torchxrayvision.models import DenseNet

    chance = torch.Generator().manual_seed(0)
    model = DenseNet()
    for part in model.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.weight.data.uniform_(0.5, 1.5, generator=chance)
            part.bias.data.normal_(0, 0.3, generator=chance)
            part.running_mean.normal_(0, 0.5, generator=chance)
            part.running_var.uniform_(0.5, 2, generator=chance)
    for part in (model.features.conv0, *(m for m in model.modules() if isinstance(m, torch.nn.Conv2d))):
        torch.nn.init.kaiming_normal_(part.weight, generator=chance)
    # Pixels reach 1024: as small as in a trained network, so that logits are of the size that logits have.
    model.features.conv0.weight.data /= 1024
    model.classifier.weight.data.normal_(0, 0.1, generator=chance)
    model.classifier.bias.data.normal_(0, 1, generator=chance)
    torch.save(model.eval(), path)


def run(path: str, squares: str, out: str) -> None:
    """Logits, normalised scores, and Grad-CAM of every logit by autograd on the last feature map."""
    from torchxrayvision.models import model_urls, op_norm
    from torchxrayvision.utils import normalize

    model = torch.load(path, weights_only=False).eval()
    thresholds = torch.tensor(model_urls["densenet121-res224-all"]["op_threshs"])
    logits, scores, maps = [], [], []
    for square in np.load(squares):
        film = torch.from_numpy(normalize(square, 255)[None, None])
        features = torch.relu(model.features(film)).detach().requires_grad_()
        output = model.classifier(features.mean((2, 3)))
        torch.testing.assert_close(output, model(film))
        cams = []
        for k in range(output.shape[1]):
            (gradient,) = torch.autograd.grad(output[0, k], features, retain_graph=True)
            cams.append((gradient.mean((2, 3), keepdim=True) * features).sum(1)[0].detach())
        logits.append(output[0].detach())
        scores.append(op_norm(torch.sigmoid(output), thresholds)[0].detach())
        maps.append(torch.stack(cams, -1))
    np.savez(out, **{n: torch.stack(v).numpy() for n, v in {"logits": logits, "scores": scores, "maps": maps}.items()})


if __name__ == "__main__":
    {"make": make, "run": run}[sys.argv[1]](*sys.argv[2:])
