"""The same model behind other servers, each as its own documentation begins: no guard, no keys, no pages."""
