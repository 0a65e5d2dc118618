"""Weights as a field of the rows of Hugging Face's Trainer.

The rows are short sequences of tokens; the weights come from how often each token occurs in them.
The model is a small transformer without pretrained parameters, so nothing is downloaded.
"""

import torch
from torch.utils.data import Dataset
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    Trainer,
    TrainingArguments,
    set_seed,
)

from semideep_ext import WeightedCrossEntropyLoss, distance_weights

TOKENS, LENGTH = 20, 8


def sequences(n, frequencies):
    """Draw tokens 1 to 19 by their frequencies; rows of class 1 begin with token 0."""
    tokens = 1 + torch.multinomial(frequencies, n * LENGTH, replacement=True).view(n, LENGTH)
    labels = torch.randint(2, (n,))
    tokens[labels == 1, 0] = 0
    return tokens, labels


class Rows(Dataset):
    def __init__(self, tokens, labels, weights):
        self.fields = {"input_ids": tokens, "labels": labels, "weights": weights}

    def __len__(self):
        return len(self.fields["labels"])

    def __getitem__(self, i):
        return {name: values[i] for name, values in self.fields.items()}


class WeightedTrainer(Trainer):
    loss_fn = WeightedCrossEntropyLoss()

    def compute_loss(self, model, inputs, return_outputs=False, **_):
        labels, weights = inputs.pop("labels"), inputs.pop("weights")
        outputs = model(**inputs)
        loss = self.loss_fn(outputs.logits, labels, weights)
        return (loss, outputs) if return_outputs else loss


set_seed(0)
frequencies = torch.linspace(1, 2, TOKENS - 1)
tokens, labels = sequences(400, frequencies)
test_tokens, test_labels = sequences(200, frequencies.flip(0))  # other tokens are frequent there


def counts(rows):
    return torch.nn.functional.one_hot(rows, TOKENS).sum(1).float()


w = distance_weights(counts(tokens), counts(test_tokens), "cosine", lambda_=2.0)
model = BertForSequenceClassification(
    BertConfig(
        vocab_size=TOKENS,
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=LENGTH,
        num_labels=2,
    )
)
arguments = TrainingArguments(
    output_dir="bert",
    num_train_epochs=5,
    per_device_train_batch_size=32,
    learning_rate=3e-3,
    use_cpu=True,
    remove_unused_columns=False,  # or the weights, which the model does not take, would be dropped
    report_to="none",
    save_strategy="no",
    logging_strategy="no",
    disable_tqdm=True,
    dataloader_pin_memory=False,
)
trainer = WeightedTrainer(model, arguments, train_dataset=Rows(tokens, labels, w / w.mean()))
trainer.train()
predicted = trainer.predict(Rows(test_tokens, test_labels, torch.ones(200))).predictions
print("accuracy", (predicted.argmax(1) == test_labels.numpy()).mean())
