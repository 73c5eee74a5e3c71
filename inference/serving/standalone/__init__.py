"""The model server: the inference application alone, on a folder of models, without database, Valkey or Django.

Faces and rules are those of the site's hot route. What comes from the database there comes from files here: models from
a repository folder, callers from a file of token digests.
"""
