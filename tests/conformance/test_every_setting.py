"""No setting without a test: every field of every Config has one that shows its effect."""

import ast
import functools
import importlib
from pathlib import Path

import pytest

from textpipe.config import plugins
from textpipe.config.sections import Section

TESTS = Path(__file__).parents[1]

# Packages whose settings are listed in separate tables, and the test that compares each table with the fields.
TABLES = {
    "models": "test_every_setting_of_every_model_is_tested",
    "encoders": "test_every_setting_of_every_encoder_is_tested",
    "training.optimizers": "test_every_setting_of_every_plug_in_is_tested",
    "training.schedules": "test_every_setting_of_every_plug_in_is_tested",
    "text.steps": "test_every_setting_of_every_plug_in_is_tested",
    "text.codecs": "test_every_setting_of_every_plug_in_is_tested",
    "features": "test_every_setting_of_every_plug_in_is_tested",
}

# For all other settings, the test of the effect, by the module that declares the field. A Config that inherits a field inherits the test.
RUN = "conformance/test_training_settings.py::test_a_setting_changes_the_run"
SAMPLED = "conformance/test_training_settings.py::test_a_setting_of_scheduled_sampling_changes_the_run"
LIKE_BEAM = "test_beam.py::test_a_wide_beam_equals_exhaustive_enumeration"
SHOWN = {
    "decoding.greedy": {
        "max_length": LIKE_BEAM,
        "max_ratio": "test_beam.py::test_each_row_of_a_batch_has_its_own_maximum_length",
        "max_extra": "test_beam.py::test_each_row_of_a_batch_has_its_own_maximum_length",
        "min_length": "test_beam.py::test_no_answer_is_shorter_than_min_length",
        "length_penalty": LIKE_BEAM,
        "prefix": "test_prefix.py::test_a_prefix_of_a_call_overrides_that_of_the_pipeline_file",
        "rules": "test_rules.py::test_greedy_takes_the_likeliest_allowed_token",
        "replace_unknown": "test_replace_unknown.py::test_unseen_names_are_copied_for_unknown_tokens",
    },
    "decoding.beam": {
        "beam_size": "test_beam.py::test_a_narrow_beam_with_early_stop_equals_a_complete_plain_search",
        "length_penalty": LIKE_BEAM,
        "coverage_penalty": "test_beam.py::test_the_coverage_penalty_agrees_with_enumeration",
        "n_best": "test_beam.py::test_patience_with_a_small_n_best_gives_the_answers_of_a_plain_search",
        "patience": "test_beam.py::test_patience_ends_the_search_when_a_plain_search_has_counted_as_many_ended_answers",
    },
    "decoding.constrained": {
        "constraints": "test_constrained.py::test_phrases_of_a_call_override_those_of_the_pipeline_file"
    },
    "decoding.diverse": {
        "beam_size": "test_diverse.py::test_diverse_search_equals_a_plain_search_in_groups",
        "groups": "test_diverse.py::test_diverse_search_equals_a_plain_search_in_groups",
        "strength": "test_diverse.py::test_groups_differ_more_than_a_beam",
    },
    "decoding.sample": {
        "num_samples": "test_sample.py::test_sample_frequencies_agree_with_enumeration",
        "temperature": "test_sample.py::test_temperature_zero_is_greedy",
        "top_k": "test_sample.py::test_every_token_of_the_nucleus_is_drawn_and_no_other",
        "top_p": "test_sample.py::test_every_token_of_the_nucleus_is_drawn_and_no_other",
        "seed": "test_sample.py::test_samples_depend_on_the_seed_only",
    },
    "decoding.rules.no_repeat_ngram": {"size": "test_rules.py::test_no_repeat_ngram_disallows_tokens_that_repeat_an_ngram"},
    "decoding.rules.trie": {"file": "test_trie.py::test_narrow_searches_and_samples_stay_within_the_list"},
    "servable.ensemble": {
        "members": "test_ensemble.py::test_a_pipeline_evaluates_and_exports_its_ensemble",
        "mean": "test_ensemble.py::test_probabilities_are_the_mean_over_the_members",
        "models": "test_ensemble.py::test_results_depend_on_the_members_files_and_code",
    },
    "answers._denotation_settings": dict.fromkeys(
        ("threshold", "wrong_cost"), "test_table_qa.py::test_an_answer_below_the_threshold_is_not_given"
    ),
    "answers._label_settings": {
        **dict.fromkeys(("score", "threshold", "coverage"), "test_out_of_scope.py::test_a_given_threshold_a_coverage_and_each_score_decide"),
        "out_of_scope": "test_out_of_scope.py::test_rows_out_of_scope_are_answered_with_their_label_in_evaluation_and_in_the_export",
    },
    "answers._ranking_settings": {
        "trigger": "test_answer_settings.py::test_messages_that_the_trigger_does_not_choose_get_no_replies",
        "threshold": "test_answer_settings.py::test_the_threshold_is_an_option_of_a_call",
        "coverage": "test_answer_settings.py::test_a_stated_coverage_is_looked_up_in_the_trigger",
        "rerank": "test_likelihood_ranker.py::test_a_ranker_by_matching_takes_it_as_the_second",
        "candidates": "test_likelihood_ranker.py::test_a_ranker_by_matching_takes_it_as_the_second",
        "rerank_weight": "test_likelihood_ranker.py::test_a_ranker_by_matching_takes_it_as_the_second",
        "beam_size": "test_likelihood_ranker.py::test_the_beam_is_that_of_the_settings",
        "mutual_information": "test_likelihood_ranker.py::test_the_settings_penalize_what_is_probable_whatever_the_message",
        "prior": "test_reply_prior.py::test_a_ranker_takes_the_prior_of_its_settings",
        "prior_weight": "test_answer_settings.py::test_the_weight_of_the_prior_decides_for_the_frequent",
        "index": "test_response_index.py::test_a_set_has_an_index_if_it_is_large_or_the_settings_say_so",
        "cells": "test_response_index.py::test_more_probes_find_more_and_the_default_finds_nearly_all",
        "probes": "test_response_index.py::test_more_probes_find_more_and_the_default_finds_nearly_all",
    },
    "stages.responses": {
        "task": "test_responses.py::test_a_kept_column_says_who_wrote_a_reply",
        "file": "test_responses.py::test_an_edited_table_is_used_as_it_is_and_gets_intents",
        "max_size": "test_responses.py::test_filters_are_counted_and_the_most_frequent_come_first",
        "min_count": "test_responses.py::test_filters_are_counted_and_the_most_frequent_come_first",
        "max_words": "test_responses.py::test_filters_are_counted_and_the_most_frequent_come_first",
        "min_senders": "test_responses.py::test_a_set_that_filtering_empties_is_an_error_that_says_why",
        "sender": "test_responses.py::test_a_kept_column_says_who_wrote_a_reply",
        "merge": "test_response_keys.py::test_the_wording_of_most_people_stands_for_its_paraphrases_and_the_others_are_variants",
        "blocked": "test_responses.py::test_blocked_phrases_are_whole_words_in_any_wording",
        "intents": "test_responses.py::test_an_edited_table_is_used_as_it_is_and_gets_intents",
        "propagation": "test_intents.py::test_stricter_settings_leave_more_responses_without_an_intent",
        "seed": "test_intents.py::test_the_same_seed_gives_the_same_intents",
    },
    "stages._intents": {
        "seed_weight": "test_intents.py::test_weights_and_iterations_change_how_far_examples_reach",
        "uniform_weight": "test_intents.py::test_weights_and_iterations_change_how_far_examples_reach",
        "iterations": "test_intents.py::test_weights_and_iterations_change_how_far_examples_reach",
        "threshold": "test_intents.py::test_stricter_settings_leave_more_responses_without_an_intent",
        "margin": "test_intents.py::test_stricter_settings_leave_more_responses_without_an_intent",
        "evidence": "test_intents.py::test_stricter_settings_leave_more_responses_without_an_intent",
        "new_intents": "test_intents.py::test_a_new_intent_a_round_is_fewer_than_many",
        "rounds": "test_intents.py::test_what_no_example_is_like_becomes_new_intents_named_by_their_first_response",
    },
    "stages.ingest": {
        "keep": "test_responses.py::test_a_kept_column_says_who_wrote_a_reply",
        "task": "test_ingest.py::test_an_invalid_section_is_rejected_with_the_name_of_its_key",
        "dataset": "test_ingest.py::test_the_key_of_a_dataset_depends_on_its_card_and_bundled_files",
        "files": "test_ingest.py::test_several_files_are_one_source_with_consecutive_row_numbers",
        "format": "test_tables.py::test_every_format_gives_the_same_rows",
        "columns": "test_ingest.py::test_line_files_are_given_as_a_table_or_a_list",
        "filter": "test_ingest.py::test_filter_and_max_rows_select_rows",
        "split": "test_ingest.py::test_one_file_is_split_by_source_without_losing_rows",
        "identify_by": "test_ingest.py::test_rows_are_compared_by_the_fields_of_identify_by",
        "drop_duplicates": "test_ingest.py::test_duplicates_and_leaks_are_dropped_if_configured",
        "on_leak": "test_ingest.py::test_duplicates_and_leaks_are_dropped_if_configured",
        "on_invalid": "test_tables.py::test_bytes_that_are_not_utf8_are_replaced_dropped_or_rejected",
        "on_bad_rows": "test_tables.py::test_a_row_of_wrong_width_raises_with_its_line_or_is_dropped_and_counted",
        "max_characters": "test_tables.py::test_lines_longer_than_a_block_are_read_and_can_be_dropped",
        "max_rows": "test_ingest.py::test_filter_and_max_rows_select_rows",
        "min_count": "test_ingest.py::test_labels_rarer_than_min_count_are_dropped_or_merged_and_listed",
        "rare_label": "test_ingest.py::test_labels_rarer_than_min_count_are_dropped_or_merged_and_listed",
        "encoding": "test_ingest.py::test_encodings_are_declared_for_all_files_or_guessed_and_reported",
        "on_too_long": "test_ingest.py::test_text_lengths_are_limited_and_a_column_of_texts_is_not_a_label",
        "synthetic": "test_synthetic_rows.py::test_rows_are_added_to_train_alone_after_the_real_ones",
        "require": "test_data_report.py::test_rows_that_miss_a_limit_stop_the_pipeline_after_ingest",
    },
    "stages._ingest_synthetic": {
        "files": "test_synthetic_rows.py::test_rows_are_added_to_train_alone_after_the_real_ones",
        "format": "test_synthetic_rows.py::test_columns_and_format_are_those_of_the_synthetic_files_and_kept_columns_are_empty",
        "columns": "test_synthetic_rows.py::test_columns_and_format_are_those_of_the_synthetic_files_and_kept_columns_are_empty",
        "ratio": "test_synthetic_rows.py::test_the_ratio_counts_real_rows_and_chooses_by_a_hash_of_the_row",
        "repeat": "test_synthetic_rows.py::test_real_rows_are_repeated_or_left_out",
        "tag": "test_synthetic_rows.py::test_the_tag_is_one_token_before_each_synthetic_source_and_nowhere_else",
    },
    "augmentation.noise": {
        **dict.fromkeys(("delete", "fill", "shuffle"), "test_augment.py::test_noise_deletes_fills_and_moves_as_often_as_it_says"),
        "filler": "test_augment.py::test_noise_depends_on_the_seed_and_the_text_alone",
    },
    "data.formats.lines": {"member": "test_tables.py::test_line_files_are_read_from_zip_archives"},
    "data.delimited": {
        "delimiter": "test_tables.py::test_every_format_gives_the_same_rows",
        "header": "test_tables.py::test_files_without_header_are_read_by_number_or_by_given_names",
        "columns": "test_tables.py::test_files_without_header_are_read_by_number_or_by_given_names",
        "quoting": "test_tables.py::test_quotation_marks_are_literal_in_tsv_and_quote_fields_in_csv",
        "member": "test_tables.py::test_every_format_gives_the_same_rows",
    },
    "data.formats.csv": {
        "delimiter": "test_tables.py::test_every_format_gives_the_same_rows",
        "quoting": "test_tables.py::test_quotation_marks_are_literal_in_tsv_and_quote_fields_in_csv",
    },
    "data.formats.captions": {
        "images": "test_captions.py::test_a_table_gives_a_row_for_each_caption",
        "image": "test_captions.py::test_a_table_gives_a_row_for_each_caption",
        "captions": "test_captions.py::test_a_table_gives_a_row_for_each_caption",
        "split_column": "test_captions.py::test_a_table_gives_a_row_for_each_caption",
        "splits": "test_captions.py::test_a_table_gives_a_row_for_each_caption",
        "lists": "test_captions.py::test_the_layout_of_flickr8k",
    },
    "data.formats.drawings": {"drawing": "test_captions.py::test_a_damaged_drawing_is_named"},
    "data.formats.json": dict.fromkeys(("columns", "keys", "key", "member"), "test_tables.py::test_every_format_gives_the_same_rows"),
    "data.formats.jsonl": {"member": "test_tables.py::test_every_format_gives_the_same_rows"},
    "data.formats.babi": dict.fromkeys(
        ("tasks", "pattern"), "test_stories.py::test_the_files_of_the_babi_tasks_are_read_alone_in_folders_and_in_archives"
    ),
    "data.formats.mail": {"pattern": "test_tables.py::test_folders_of_raw_mails_can_be_labels"},
    "data.formats.threads": {
        "me": "test_threads.py::test_with_me_rows_are_the_mails_of_others_and_only_own_answers_count",
        "answers": "test_threads.py::test_the_first_answer_is_the_earliest_and_the_others_are_counted",
        "unanswered": "test_threads.py::test_mails_without_an_answer_can_be_dropped",
        "subject_days": "test_threads.py::test_a_match_by_subject_has_a_longest_time",
        "pattern": "test_threads.py::test_files_that_are_no_mails_are_counted_and_a_pattern_leaves_them_out",
    },
    "stages.normalize": {
        "task": "test_text_stages.py::test_mistakes_in_sections_are_named",
        "steps": "test_text_stages.py::test_normalize_changes_texts_and_nothing_else",
        "fields": "test_text_stages.py::test_a_field_can_have_its_own_steps",
    },
    "stages.tokenize": {
        "task": "test_text_stages.py::test_mistakes_in_sections_are_named",
        "seed": "test_text_stages.py::test_running_again_writes_the_same_bytes",
        "codec": "test_text_stages.py::test_vocabularies_are_learned_from_train_only_and_unknown_tokens_are_counted",
        "vocabulary": "test_text_stages.py::test_a_joint_vocabulary_is_shared_and_separate_ones_are_not",
        "lexicon": "test_replace_unknown.py::test_the_lexicon_includes_words_outside_the_vocabulary",
    },
    "stages.vectorize": {
        "task": "test_text_stages.py::test_mistakes_in_sections_are_named",
        "features": "test_text_stages.py::test_sparse_rows_equal_those_of_the_exported_op",
        "target": "test_text_stages.py::test_target_texts_are_ids_for_any_source_feature",
        "fields": "test_text_stages.py::test_a_field_can_have_its_own_feature",
        "vocabulary": "test_ngram_options.py::test_a_joint_vocabulary_numbers_an_ngram_alike_in_each_field",
    },
    "stages.train": {
        "task": "test_training_loop.py::test_features_and_tasks_that_do_not_fit_a_model_are_refused_with_a_cure",
        "model": "test_training_loop.py::test_features_and_tasks_that_do_not_fit_a_model_are_refused_with_a_cure",
    },
    "training.settings.Settings": {
        **dict.fromkeys(
            ("seed", "epochs", "batch_tokens", "batch_rows", "accumulate", "optimizer", "schedule", "clip_norm", "clip_value"), RUN
        ),
        "clip_tensor_norm": RUN,
        **dict.fromkeys(("label_smoothing", "ema", "precision", "scheduled_sampling", "early_stopping", "validate_steps"), RUN),
        **dict.fromkeys(("max_steps", "max_minutes", "average", "curve_steps", "parallel"), RUN),
        **dict.fromkeys(("word_dropout", "mixup", "r_drop"), "test_regularization.py::test_a_setting_changes_the_run"),
        "vectors": "test_layer_rates.py::test_known_words_start_from_their_vectors_and_others_from_random_ones",
        "layer_rates": "test_layer_rates.py::test_a_factor_is_that_of_the_learning_rate",
        "unfreeze": "test_layer_rates.py::test_weights_that_are_not_unfrozen_yet_keep_their_bits",
        "class_weight": "test_linear.py::test_balanced_class_weights_agree_with_scikit_learn",
        "calibration": "test_linear.py::test_calibration_reaches_the_served_probabilities_and_needs_valid_rows",
        "num_shapes": "conformance/test_training_settings.py::test_there_are_at_most_num_shapes_padded_widths",
        "subword_sampling": "test_subword_sampling.py::test_a_run_stopped_inside_an_epoch_resumes_with_the_same_samples",
        "curriculum": "test_curriculum.py::test_an_epoch_has_the_shortest_rows_once_and_later_ones_all",
        "init": "test_transfer.py::test_a_pipeline_starts_from_an_artifact_or_an_exported_model_and_reports_it",
        "freeze": "test_transfer.py::test_frozen_parts_keep_their_weights_and_others_change",
        "metric": "test_training_loop.py::test_patience_counts_from_the_best_and_higher_accuracy_is_better",
        "valid_bleu_rows": "test_dev_decoding.py::test_bleu_equals_that_of_answers_decoded_row_by_row",
        "checkpoint_steps": "test_parallel.py::test_a_resumed_run_keeps_its_number_of_shards",
        "checkpoint_minutes": "test_averaging.py::test_a_run_killed_between_a_validation_and_its_checkpoint_finds_its_weights",
        "keep": "test_training_loop.py::test_early_stopping_waits_and_keeps_the_requested_weights",
        "strategy": "test_training_loop.py::test_two_replicas_train_like_one",
        "workers": "test_train_group.py::test_two_processes_end_with_the_weights_of_one_also_when_one_is_killed",
    },
    "training.settings.EarlyStopping": dict.fromkeys(
        ("metric", "patience", "min_delta"), "test_training_loop.py::test_patience_counts_from_the_best_and_higher_accuracy_is_better"
    ),
    "training.settings.Average": dict.fromkeys(
        ("last", "best"), "test_averaging.py::test_the_result_is_the_mean_of_the_requested_validations"
    ),
    "training.settings.ScheduledSampling": dict.fromkeys(("probability", "start", "steps", "curve", "choose"), SAMPLED),
    "training.warm_start.layer_rates": {
        **dict.fromkeys(("decay", "patterns"), "test_layer_rates.py::test_a_decay_and_patterns_multiply_and_layers_unfreeze_from_the_last"),
        "every": "test_layer_rates.py::test_a_decay_and_patterns_multiply_and_layers_unfreeze_from_the_last",
    },
    "training.warm_start.word_vectors": {
        "file": "test_layer_rates.py::test_known_words_start_from_their_vectors_and_others_from_random_ones",
        "fields": "test_layer_rates.py::test_pieces_of_words_have_no_vectors_and_the_file_is_part_of_the_key",
    },
    "training.regularization.word_dropout": dict.fromkeys(
        ("rate", "by"), "test_regularization.py::test_a_share_of_the_tokens_is_dropped_and_the_others_keep_their_order"
    ),
    "training.regularization.subword_sampling": {
        "alpha": "test_subword_sampling.py::test_frequencies_are_those_of_the_enumerated_distribution",
        "dropout": "test_subword_sampling.py::test_frequencies_are_those_of_the_enumerated_distribution",
        "sides": "test_subword_sampling.py::test_one_side_alone_can_be_sampled",
    },
    "training.batching.curriculum": dict.fromkeys(
        ("epochs", "start"), "test_curriculum.py::test_an_epoch_has_the_shortest_rows_once_and_later_ones_all"
    ),
    "training.warm_start.source_weights": {
        "from_": "test_transfer.py::test_the_latest_run_of_a_pipeline_and_version_of_a_model_are_found",
        "only": "test_transfer.py::test_mistakes_in_the_file_are_reported_with_their_place",
    },
    "quality.requirements": dict.fromkeys((*("max_duplicates", "max_near_duplicates", "max_leakage", "max_near_leakage"), *("max_contradictions", "max_near_contradictions", "min_rows_per_class")), "test_data_report.py::test_a_missed_limit_names_its_rows"),
    "stages.evaluate": {
        "answer": "test_answer_settings.py::test_evaluate_counts_how_often_the_trigger_fires",
        "task": "test_export.py::test_a_threshold_on_an_unknown_metric_is_rejected_before_anything_runs",
        "seed": "test_compare.py::test_bootstrap_of_few_rows_approximates_the_enumeration_of_resamples",
        "decode": "test_word_scores.py::test_evaluate_reports_rows_and_words_that_are_rare_in_training",
        "ensemble": "test_ensemble.py::test_a_pipeline_evaluates_and_exports_its_ensemble",
        "split": "test_export.py::test_limit_and_split_select_the_rows",
        "join_sources": "test_export.py::test_rows_with_the_same_source_are_answered_once_with_all_their_targets",
        "limit": "test_export.py::test_limit_and_split_select_the_rows",
        "batch_rows": "test_export.py::test_batches_hold_all_rows_and_few_of_the_long_ones",
        "bleu_tokenizer": "test_metrics.py::test_bleu_uses_the_requested_tokenizer",
        "resamples": "test_word_scores.py::test_evaluate_reports_rows_and_words_that_are_rare_in_training",
        "rare": "test_word_scores.py::test_evaluate_reports_rows_and_words_that_are_rare_in_training",
        "require": "test_export.py::test_a_missed_threshold_is_reported_with_all_metrics",
        "slices": "test_slices.py::test_evaluate_scores_the_rows_of_each_slice",
    },
    "stages.export": {
        "answer": "test_answer_settings.py::test_messages_that_the_trigger_does_not_choose_get_no_replies",
        "task": "test_export.py::test_textpipe_json_describes_the_model",
        "decode": "test_export.py::test_omitted_options_have_the_values_of_the_pipeline_and_given_ones_apply",
        "ensemble": "test_ensemble.py::test_a_pipeline_evaluates_and_exports_its_ensemble",
        "golden_rows": "test_export.py::test_golden_rows_are_many_and_include_the_awkward_ones",
        "warmup_rows": "test_export.py::test_the_model_answers_its_warm_up_requests",
        "bounds": "test_bounds.py::test_a_pipeline_may_set_bounds_that_include_its_own_settings",
    },
    "pipeline.tune_settings": {
        "settings": "test_tune_settings.py::test_a_faulty_setting_is_refused_with_its_key",
        "sampler": "test_tune.py::test_two_workers_share_a_grid_and_build_nothing_twice",
        "pruner": "test_tune.py::test_a_pruner_ends_trials_and_leaves_no_checkpoint_of_them",
        "trials": "test_tune.py::test_more_trials_continue_a_study",
        "metric": "test_tune.py::test_a_study_ends_with_its_best_pipeline_scored_once_on_the_test_split",
        "seed": "test_tune.py::test_another_seed_tries_other_settings",
        "max_minutes": "test_tune.py::test_no_trial_starts_after_the_time_is_up",
        "keep": "test_tune.py::test_only_the_best_trials_keep_their_models_and_other_runs_keep_theirs",
    },
    "searches.grid": {"points": "test_searches.py::test_a_grid_tries_each_combination_once_in_an_order_of_the_seed"},
    "searches.tpe": {
        "startup_trials": "test_searches.py::test_tpe_is_random_for_its_first_trials_and_then_finds_the_minimum_sooner",
        "candidates": "test_searches.py::test_tpe_with_more_candidates_follows_its_model_more_closely",
    },
    "pruners.median": dict.fromkeys(
        ("startup_trials", "warmup"), "test_searches.py::test_the_median_rule_ends_trials_that_are_worse_than_half_of_the_others"
    ),
    "engines.processes": {"workers": "test_engines.py::test_the_setting_workers_is_the_number_of_processes"},
    "engines.ray": {
        "address": "test_engine_ray.py::test_no_cluster_at_the_address_is_a_message",
        "workers": "test_engine_ray.py::test_the_shards_of_a_lost_node_run_on_the_others",
        "cpus": "test_engine_ray.py::test_workers_occupy_cpus_and_gpus_of_the_cluster",
        "gpus": "test_engine_ray.py::test_workers_occupy_cpus_and_gpus_of_the_cluster",
    },
    "pruners.halving": dict.fromkeys(("first", "factor"), "test_searches.py::test_halving_lets_a_share_pass_each_rung"),
}  # fmt: skip


def configs():
    """{(module, class name): class} of every section, including those of plug-ins and nested ones."""
    for package in (
        "models",
        "encoders",
        "decoding",
        "training",
        "features",
        "text",
        "data",
        "stages",
        "answers",
        "export_formats",
        "searches",
        "pruners",
        "engines",
    ):
        for path in sorted((plugins.PACKAGE_FOLDER / package).rglob("*.py")):
            parts = path.relative_to(plugins.PACKAGE_FOLDER).with_suffix("").parts
            if parts[-1] != "__init__":
                importlib.import_module(".".join(("textpipe", *parts)))
    importlib.import_module("textpipe.augmentation.noise")
    importlib.import_module("textpipe.servable.ensemble")
    importlib.import_module("textpipe.pipeline.tune_settings")
    found, waiting = {}, [Section]
    while waiting:
        below = waiting.pop().__subclasses__()
        waiting += below
        found |= {
            (one.__module__.removeprefix("textpipe."), one.__name__): one
            for one in below
            if one.__module__.startswith("textpipe.")
        }
    return found


def declared():
    """(table in SHOWN, field) for every field, where it is declared."""
    for (module, name), config in configs().items():
        if not any(module.startswith(package + ".") for package in TABLES):
            for field in config.model_fields.keys() & config.__annotations__.keys() - {"kind"}:
                yield (f"{module}.{name}" if module == "training.settings" else module), field


@functools.cache
def functions(file):
    """{test name: its source} of a file, and the source of the whole file."""
    source = (TESTS / file).read_text(encoding="utf-8")
    tree = ast.parse(source)
    return {
        node.name: ast.get_source_segment(source, node) for node in tree.body if isinstance(node, ast.FunctionDef)
    }, source


def test_every_field_has_a_test_that_shows_what_it_changes():
    fields = set(declared())
    shown = {(table, field) for table, row in SHOWN.items() for field in row}
    assert not fields - shown, (
        f"settings without a test: add them to SHOWN, with the test that shows what they change: {fields - shown}"
    )
    assert not shown - fields, f"no longer settings: remove them from SHOWN: {shown - fields}"


def test_packages_with_separate_tables_have_the_test_that_checks_them():
    sources = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_*.py"))
    for package, test in TABLES.items():
        assert f"def {test}(" in sources, package
        assert plugins.names(package)


@pytest.mark.parametrize("table", SHOWN)
def test_the_named_tests_exist(table):
    for field, test in SHOWN[table].items():
        file, _, name = test.partition("::")
        tests, _ = functions(file)
        assert name in tests, f"{table} {field}: there is no {test}"
