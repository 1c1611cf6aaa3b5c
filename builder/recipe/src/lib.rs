//! Recipes, boards, bases and overlays as typed TOML, resolved into a plan.
