"""Builds the corpus, the model and the resolved recipe of a pre-training run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import transformers
from accelerate import PartialState

from tellapart.encoders.precision import default_device, use_bf16
from tellapart.encoders.pretrained import read_tokenizer
from tellapart.errors import ModelError
from tellapart.files import replacing
from tellapart.fitting.environment import main_process_first
from tellapart.fitting.folder import CHECKPOINTS
from tellapart.pretraining.batches import MaskedSequences, StepSampler
from tellapart.pretraining.corpus import Corpus, build_corpus, sequence_notes, stamped
from tellapart.pretraining.electra import ReplacedTokenDetection
from tellapart.pretraining.language_model import (
    Loaded,
    check_length,
    find_generator,
    load_discriminator,
    load_language_model,
    new_bert,
    new_discriminator,
    new_generator,
)
from tellapart.pretraining.masking import masking_for
from tellapart.pretraining.mlm import MaskedLanguageModelling
from tellapart.pretraining.recipe import NEW, PretrainRecipe
from tellapart.pretraining.synonyms import SynonymTable
from tellapart.pretraining.tables import WORDNET, synonym_table
from tellapart.pretraining.terms import Corrections, PretrainingModel
from tellapart.pretraining.texts import TextSource
from tellapart.pretraining.vocabulary import train_wordpiece
from tellapart.training.progress import text_counter

# Kept beside the checkpoints during the run, so that resuming need not tokenise again.
CORPUS, TOKENIZER = f"{CHECKPOINTS}/corpus", f"{CHECKPOINTS}/tokenizer"

PASSES = 3
"""Default number of passes over the texts."""

NEW_RATE, FURTHER_RATE = 5e-4, 5e-5
"""Default learning rates, from the paper: for new models, and for continued pre-training."""

_NEW_DEFAULTS = {"vocabulary_size": 8000, "lowercase": True, "hidden_size": 256, "layers": 4, "heads": 4}


@dataclass(frozen=True)
class Prepared:
    """A resolved recipe with its corpus, its model with losses on the training device, and remarks for the user."""

    recipe: PretrainRecipe
    sequences: MaskedSequences
    tokenizer: Any
    module: PretrainingModel
    notes: tuple[str, ...]


def prepare(
    recipe: PretrainRecipe, source: TextSource, folder: Path, *, resumed: bool, quiet: bool
) -> Prepared:
    """Reads the texts, loads or creates the model and resolves the recipe.

    Tokens and a new tokeniser are kept beside the checkpoints in the run folder; `resumed` requires that the corpus
    is that of the interrupted run.
    """
    device = default_device()
    notes = list(source.notes)
    processes = PartialState(cpu=device == "cpu")
    transformers.set_seed(recipe.seed)
    if recipe.encoder == NEW:
        recipe = _described(recipe)
        with main_process_first():
            loaded = _new_model(recipe, source, folder / TOKENIZER, quiet=quiet)
    else:
        loaded = _existing_model(recipe)
    notes += loaded.notes
    recipe = recipe.model_copy(update={"synonyms": _synonyms(recipe)})
    table = None if recipe.synonyms is None else synonym_table(recipe.synonyms, loaded.tokenizer)
    with main_process_first(), text_counter("tokenising", quiet=quiet) as progress:
        corpus = build_corpus(
            source if processes.is_main_process else stamped(source, folder / CORPUS),
            loaded.tokenizer,
            folder / CORPUS,
            max_length=recipe.max_length,
            sequences=recipe.sequences,
            whole_words=recipe.whole_words,
            must_match=resumed,
            workers=recipe.corpus_workers,
            shard_mib=recipe.shard_mib,
            check=recipe.check_corpus,
            progress=progress,
        )
    notes += sequence_notes(corpus.facts, recipe.sequences, recipe.max_length)
    corrections = Corrections.named(
        recipe.correction, table, recipe.correction_weight, recipe.loss_temperature
    )
    module, more = _module(recipe, loaded, corrections)
    recipe = _decided(recipe, corpus, processes)
    masking = masking_for(
        loaded.tokenizer,
        vocabulary_size=loaded.model.get_input_embeddings().num_embeddings,
        share=recipe.mask_share,
        seed=recipe.seed,
        **({"masked": 0.85, "random": 0.0} if recipe.objective == "electra" else {}),
    )
    sequences = MaskedSequences(corpus, masking, loaded.tokenizer.pad_token_id or 0)
    module.to(device)
    return Prepared(recipe, sequences, loaded.tokenizer, module, (*notes, *more))


def check_models(recipe: PretrainRecipe) -> None:
    """Checks, before an earlier run is deleted, that the encoder, the generator and the synonyms can be used.

    Raises:
        ModelError: There is no model of this name, or it cannot be trained with these settings.
        UserError: The synonyms cannot be read.
    """
    if recipe.encoder == NEW:  # its vocabulary, which synonyms must fit, comes from the texts
        if recipe.synonyms not in (None, WORDNET):
            SynonymTable.load(recipe.synonyms)
        return
    loaded = _existing_model(recipe)
    if (synonyms := _synonyms(recipe)) is not None:
        synonym_table(synonyms, loaded.tokenizer)
    if recipe.objective == "electra":
        _generator(recipe, loaded)


def _existing_model(recipe: PretrainRecipe) -> Loaded:
    load = load_discriminator if recipe.objective == "electra" else load_language_model
    loaded = load(recipe.encoder)
    check_length(loaded.model, recipe.encoder, recipe.max_length)
    return loaded


def _synonyms(recipe: PretrainRecipe) -> str | None:
    return recipe.synonyms or (WORDNET if "hard" in recipe.correction else None)


def _described(recipe: PretrainRecipe) -> PretrainRecipe:
    decided = {name: value for name, value in _NEW_DEFAULTS.items() if getattr(recipe, name) is None}
    family = recipe.family or ("electra" if recipe.objective == "electra" else "bert")
    return recipe.model_copy(update={**decided, "family": family})


def _new_model(recipe: PretrainRecipe, source: TextSource, folder: Path, *, quiet: bool) -> Loaded:
    """Creates a model, and its tokeniser unless an interrupted run has saved one."""
    assert recipe.vocabulary_size is not None
    if (folder / "tokenizer.json").is_file():
        tokenizer = read_tokenizer(folder)
    else:
        with text_counter("learning the vocabulary", quiet=quiet) as progress:
            tokenizer = train_wordpiece(
                source,
                recipe.vocabulary_size,
                max_length=recipe.max_length,
                lowercase=bool(recipe.lowercase),
                progress=progress,
            )
        with replacing(folder) as temporary:
            tokenizer.save_pretrained(temporary)
    note = f"The texts yield a vocabulary of {len(tokenizer):,} tokens instead of {recipe.vocabulary_size:,}."
    notes = (note,) if len(tokenizer) < recipe.vocabulary_size else ()
    sizes: dict[str, Any] = {name: getattr(recipe, name) for name in ("hidden_size", "layers", "heads")}
    if recipe.objective == "electra":
        model: Any = new_discriminator(len(tokenizer), recipe.max_length, **sizes)
    elif recipe.family == "electra":
        config = new_discriminator(len(tokenizer), recipe.max_length, **sizes).config
        model = new_generator(config, share=1.0)
    else:
        model = new_bert(len(tokenizer), recipe.max_length, **sizes)
    return Loaded(model, tokenizer, notes)


def _module(
    recipe: PretrainRecipe, loaded: Loaded, corrections: Corrections
) -> tuple[PretrainingModel, tuple[str, ...]]:
    if recipe.objective == "mlm":
        return MaskedLanguageModelling(loaded.model, corrections), ()
    generator, notes = _generator(recipe, loaded)
    module = ReplacedTokenDetection(
        generator,
        loaded.model,
        corrections,
        discriminator_weight=recipe.discriminator_weight,
        predictions=recipe.predictions,
        temperature=recipe.temperature,
    )
    return module, notes


def _generator(recipe: PretrainRecipe, loaded: Loaded) -> tuple[Any, tuple[str, ...]]:
    """Loads or creates the generator of a discriminator."""
    beside = None if recipe.encoder == NEW else recipe.generator or find_generator(recipe.encoder)
    if beside is None:
        note = f"{recipe.encoder} has no generator: a new one is initialised."
        return new_generator(loaded.model.config), () if recipe.encoder == NEW else (note,)
    generator = load_language_model(beside).model
    if generator.config.model_type != "electra":
        raise ModelError(f"the generator {beside} is not of the ELECTRA family", "give an ELECTRA generator")
    return generator, ()


def _decided(recipe: PretrainRecipe, corpus: Corpus, processes: PartialState) -> PretrainRecipe:
    """Resolves the settings that the user left open."""
    epoch_steps = StepSampler(
        corpus,
        1,
        batch_size=recipe.batch_size,
        batch_tokens=recipe.batch_tokens,
        seed=recipe.seed,
        accumulation=recipe.gradient_accumulation_steps,
        ranks=processes.num_processes,
    ).epoch_steps
    steps = recipe.steps or PASSES * epoch_steps
    rate = NEW_RATE if recipe.encoder == NEW else FURTHER_RATE
    return recipe.model_copy(
        update={
            "steps": steps,
            "learning_rate": recipe.learning_rate or rate,
            "precision": "bf16" if use_bf16(recipe.precision, processes.device) else "fp32",
            "save_every": None if recipe.save_at else recipe.save_every or max(1, -(-steps // 10)),
        }
    )
