"""TabTransformer alone (arXiv 2012.06678), trained as FOUND's paper does: masked values filled in, replaced ones told.

As there: a column's value and its name as one token, attention over the columns, 32 places, 8 heads; the masked-value and the
replaced-token loss with a replacement of the same column. Reduced: three layers of six.
"""

from torch import Tensor, nn

from models.losses import masked_value_loss, replaced_token_loss
from models.tabular import TabularConfig, TabularEncoder


class TabTransformer(nn.Module):
    """FOUND's tabular encoder over the codes (U, F) of everybody's table."""

    def __init__(self, cells: Tensor, values: tuple[int, ...], layers: int = 3):
        super().__init__()
        self.cells = cells
        self.encoder = TabularEncoder(TabularConfig(values, width=32, layers=layers, heads=8))

    def loss(self, rows: Tensor) -> Tensor:
        """See `training.Rival`."""
        cells = self.cells[rows].long()
        guessed, filled, detected, masked, replaced = self.encoder.corrupt_and_guess(cells)
        config = self.encoder.config
        sizes = list(config.values)
        return (
            masked_value_loss(list(filled.split(sizes, 1)), cells, masked)
            + masked_value_loss(list(guessed.split(sizes, 1)), cells, masked)
            + config.replaced_weight * replaced_token_loss(detected, replaced)
        )

    def vectors(self, rows: Tensor) -> Tensor:
        """See `training.Rival`: the mean over the columns."""
        return self.encoder(self.cells[rows].long()).mean(1)
